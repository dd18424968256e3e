"""What tools/centos7-stand-in is made of; its data are in centos7-stand-in.d beside this."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parents[1] / "centos7-stand-in.d"
