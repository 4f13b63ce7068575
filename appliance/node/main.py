"""`appliance-node`: what the desk calls over SSH. Parse, one call, print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from appliance.contract.trouble import Trouble


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _dispatch(arguments)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)  # noqa: T201
        return int(trouble.code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="appliance-node", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    host_key = commands.add_parser("host-key", help="this machine's lasting SSH host key")
    host_key.add_argument("what", choices=["make", "adopt"])
    csr = commands.add_parser("csr", help="print a request for a certificate; the key stays here")
    csr.add_argument("--name", action="append", required=True, dest="names")
    commands.add_parser("certificate", help="install the PEM chain on stdin")
    commands.add_parser("receive", help="stage and check the bundle on stdin")
    activate = commands.add_parser("activate", help="put a received bundle in force, or roll back")
    activate.add_argument("digest")
    commands.add_parser("gateway-files", help="the gateway's copies of its config and secrets, for its unit")
    commands.add_parser("router-files", help="the router's copies of its policy and keys, for its unit")
    canary = commands.add_parser("canary", help="have each provider of models asked directly")
    canary.add_argument("--if-due", action="store_true", help="only where the policy says that it is time")
    drill = commands.add_parser("drill", help="break the providers, for the drill's own questions only")
    drill.add_argument("--workload", action="append", default=[], dest="workloads", metavar="W")
    drill.add_argument("--fault", action="append", default=[], dest="faults", metavar="F")
    drill.add_argument("--level", action="append", default=[], dest="levels", choices=["router", "gateway"])
    drill.add_argument("--list", action="store_true", help="the faults that there are")
    backup = commands.add_parser("backup", help="this node's backups, as JSON lines")
    backup.add_argument("what", choices=["run", "verify", "list"])
    backup.add_argument("--new-repository", action="store_true", help="where the old one is gone, begin anew")
    backup.add_argument("--in-unit", action="store_true", help="for the units: do it here, if it is due")
    backup.add_argument("--json", action="store_true", help="the only way, and the default")
    report = commands.add_parser("report", help="this node's account of itself, as JSON")
    report.add_argument("--json", action="store_true", help="the only way, and the default")
    commands.add_parser("private-network", help="configure private NICs as the metadata service says")
    return parser


def _dispatch(arguments: argparse.Namespace) -> int:
    # Imported where they are used: each command is a process of its own.
    match arguments.command:
        case "host-key":
            from appliance.node import host_key

            _say(host_key.make() if arguments.what == "make" else host_key.adopt())
        case "csr":
            from appliance.node import tls

            _say(tls.csr(arguments.names))
        case "certificate":
            from appliance.node import tls

            _say(tls.install(sys.stdin.buffer.read()))
        case "receive":
            from appliance.node import receive

            answer = receive.receive(sys.stdin.buffer)
            _say(json.dumps(answer))
            return 0 if answer["ok"] else 1
        case "activate":
            from appliance.node import activate

            return 0 if activate.activate(arguments.digest, say=_say) else 1
        case "gateway-files":
            from appliance.node import gateway_files

            gateway_files.put()
        case "router-files":
            from appliance.node import router_files

            router_files.put()
        case "canary":
            from appliance.node import canary

            said = canary.canary_if_due() if arguments.if_due else canary.canary()
            if said is not None:
                _say(said.model_dump_json())
        case "drill":
            from appliance.node.drill import command

            if arguments.list:
                command.list_faults()
                return 0
            return command.main(command.wanted(arguments.workloads, arguments.faults, arguments.levels))
        case "backup":
            from appliance.node.backup import command as backup

            return backup.main(arguments.what, _say, in_unit=arguments.in_unit, new=arguments.new_repository)
        case "report":
            from appliance.node import report

            _say(report.report().model_dump_json())
        case "private-network":
            from appliance.node import private_network

            _say(private_network.configure())
    return 0


def _say(line: str) -> None:
    """The desk may be gone; the work goes on."""
    try:
        print(line.rstrip("\n"), flush=True)  # noqa: T201
    except OSError:
        sys.stdout = None  # and no complaint at exit


if __name__ == "__main__":
    sys.exit(main())
