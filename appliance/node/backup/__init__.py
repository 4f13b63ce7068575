"""The node's backups: what is in one (stage.py), where it goes (store.py), and how it went (run.py)."""
