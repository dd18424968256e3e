"""How events become text: the live terminal view, diskimage-builder's lines, JSON lines, the log and failure reports.

Each renderer is a subscriber (``dib_py.events.Subscriber``); those that hold something open are context managers too.
"""
