"""The drill on the node: providers broken on purpose, for the drill's own questions, and the evidence judged.

plan, limits and judge decide and have no effects; client asks, lanes opens shadow workloads at the router
with the fault proxy behind them, row carries one row out, engine all of them, command is the command.
"""
