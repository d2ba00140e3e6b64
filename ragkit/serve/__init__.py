"""The server: a FastAPI app over one `Ragkit`. `ragkit.serve.app.make_app` makes it, `ragkit serve` runs it.

A request passes `envelope.py` (trace id, headers, size, log) and `gate.py` (key, limits, room, time) before its route.
Whatever a route shows is under the conditions of its `Caller` (`access.py`): a key sees the documents of its tenant.
"""
