"""The failover router: between the gateway and the providers of models, on loopback.

What it must do is the ten points of the failover study; what each is kept by:
classify, breaker, race, sse, content, shaping, anthropic decide and have no effects; attempt and relay carry
one request through, over the small protocols of upstream; server and __main__ are the service.

    python3 -m appliance.node.router --policy FILE --keys FILE --listen 127.0.0.1:8791

Not wired yet, and to be done together:
- image: a unit of its own (user, sandbox, `LoadCredentialEncrypted=`, `Restart=always`, TimeoutStopSec above
  the longest stream), `files/router.json` in the bundle and its check at `receive`, the gateway after it.
- keys: one JSON file {credential name: key}. systemd does not renew a running service's credentials, so a
  rotation that keeps streams either writes the file elsewhere below /run and reloads, or restarts and drains.
- gateway: one provider `router` at this address, a model per workload, OpenClaw's own retries off
  (`retry.provider.maxRetries: 0` in each agent's settings.json), `timeoutSeconds` above `deadlines.start`,
  and above `deadlines.total` where a workload holds.
- edge: the workload's header becomes `router/<workload>`.
- desk: fallbacks, deadlines and mode in appliance.yaml, and a warning where a fallback shares vendor or key.
- health page and report: `router` from GET /healthz; it says "absent" today.
"""
