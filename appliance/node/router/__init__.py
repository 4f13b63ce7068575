"""The failover router: between the gateway and the providers of models, on loopback.

What it must do is the ten points of the failover study; what each is kept by:
classify, breaker, race, sse, content, shaping, anthropic decide and have no effects; switchboard says who is
asked for a workload, switchboards keeps a drill's lanes apart from users; attempt and relay carry one request
through, over the small protocols of upstream; canary asks each provider directly; server (for the gateway),
admin (for root) and __main__ are the service.

    python3 -m appliance.node.router --policy FILE --keys FILE --listen 127.0.0.1:8791 --admin SOCKET

Policy and keys are files that root puts and has read anew (POST /reload, SIGHUP): a key changes while answers
flow. Nobody is asked for a token on the port: who may connect to it says the firewall.
"""
