"""What cloud-init in the guest is given: user data and metadata, and the NoCloud disk that carries them.

Format: https://cloudinit.readthedocs.io, "NoCloud" (a filesystem labelled cidata with meta-data and user-data).
"""

from __future__ import annotations

import io
import secrets
from pathlib import Path

import yaml
from pycdlib import PyCdlib

from dib_py.process import run
from dib_py.verify.checks import Seed

LABEL = "cidata"
USER = "dibverify"  # a name that no distribution takes

# What the user data writes to Seed.record; a script of its own, as commands of cloud-config are not run by dash alone.
_RECORD = """\
{{
echo "ran {marker}"
echo "boot $(cat /proc/sys/kernel/random/boot_id)"
echo "name $(cat /proc/sys/kernel/hostname)"
echo "machine $(cat /etc/machine-id)"
for key in /etc/ssh/ssh_host_*_key.pub; do
    [ -e "$key" ] && echo "hostkey $(cut -d ' ' -f 1,2 "$key")"
done
}} >> {record}
sync
"""


def make_seed(directory: Path) -> Seed:
    """New names, a password and a key pair below ``directory``; no two verifications have the same."""
    key = directory / "key"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "dib-py verify", "-f", key], timeout=30)
    mark = secrets.token_hex(4)
    return Seed(
        instance_id=f"i-{mark}",
        host_name=f"verify-{mark}",
        user=USER,
        password=secrets.token_urlsafe(12),
        key_file=key,
        public_key=key.with_suffix(".pub").read_text().strip(),
        marker=secrets.token_hex(8),
    )


def user_data(seed: Seed) -> str:
    """A cloud-config: the default user under the seed's name, with its password, and a record that this was read."""
    config = {
        "user": {"name": seed.user},  # a mapping: newer versions complain of a bare name
        "password": seed.password,
        "chpasswd": {"expire": False},
        "ssh_pwauth": True,
        "runcmd": [["sh", "-c", _RECORD.format(marker=seed.marker, record=seed.record)]],
    }
    return "#cloud-config\n" + yaml.safe_dump(config, sort_keys=False)


def meta_data(seed: Seed) -> str:
    """NoCloud's meta-data."""
    return yaml.safe_dump(
        {
            "instance-id": seed.instance_id,
            "local-hostname": seed.host_name,
            "public-keys": [seed.public_key],
        },
        sort_keys=False,
    )


def write_disk(path: Path, seed: Seed) -> None:
    """An ISO 9660 image with the seed, under names that Rock Ridge and Joliet give it."""
    write_iso(path, LABEL, {"meta-data": meta_data(seed), "user-data": user_data(seed)})


def write_iso(path: Path, label: str, files: dict[str, str]) -> None:
    iso = PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=label)
    try:
        for number, (name, text) in enumerate(files.items()):
            data = text.encode()
            iso.add_fp(io.BytesIO(data), len(data), f"/FILE{number}.;1", rr_name=name, joliet_path=f"/{name}")
        iso.write(str(path))
    finally:
        iso.close()
