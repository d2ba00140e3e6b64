"""Models by name, their bytes checked: what is known, where it lies, and how it gets here.

`find` looks on this machine only, `resolve` (both in `resolve.py`) fetches what is not here. Both take a reference:
a catalogue name, `hf:org/name@revision`, `pypi:package==version` or a path.
"""
