"""vhdx: for Hyper-V; growing, unless the options ask for subformat=fixed."""

from __future__ import annotations

from dib_py.output.vdi import Vdi


class Vhdx(Vdi):
    name = "vhdx"
    suffix = "vhdx"
