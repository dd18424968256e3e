"""The tools that others build with: virt-customize, and those that dib-py calls too, by hand."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess

from benchmarks.runs import ROOT, Bench, Run, output


def customize(bench: Bench, options: argparse.Namespace) -> None:
    """One small package into one image: virt-customize, the guestfs target, the host target."""
    base, package = bench.base(), options.package
    accelerator = {} if options.kvm else {"LIBGUESTFS_BACKEND_SETTINGS": "force_tcg", "DIB_PY_KVM": "no"}
    environ = {"LIBGUESTFS_BACKEND": "direct", **accelerator}
    copy = bench.work / "customized.qcow2"
    script = f"cp {shlex.quote(str(base))} {shlex.quote(str(copy))} && exec virt-customize -a {shlex.quote(str(copy))}"
    theirs = bench.run(
        "virt-customize",
        ["sh", "-c", f"{script} --network --install {shlex.quote(package)}"],
        "virt-customize",
        **environ,
    )

    def ours(target: str) -> Run:
        arguments = ["--base", str(base), "--trust-base", "-n", "-u", "-p", package, "-o", str(bench.work / "packaged")]
        # an operating system's element would do more than install a package; its glue alone wants to know this much
        debian = {"DISTRO_NAME": "debian", "DIB_RELEASE": options.release, "DIB_INIT_SYSTEM": "systemd"}
        tool = f"dib-py-{target}"  # layers are good for both targets
        return bench.dib_py(f"dib-py {target}", "--target", target, *arguments, "dpkg", tool=tool, **environ, **debian)

    bench.report.verdicts["dib-py guestfs / virt-customize (goal: at most 1)"] = ours("guestfs").wall / theirs.wall
    bench.report.verdicts["dib-py host / virt-customize"] = ours("host").wall / theirs.wall


# What a build comes to if each of its tools is called by hand: $1 release, $2 mirror, $3 security mirror, $4 what goes
# into the bootstrap, $5 all packages that the image has.
BOOTSTRAP = """
mmdebstrap --mode=root --variant=minbase --include="$4" --dpkgopt=force-unsafe-io --skip=check/empty,cleanup/apt \\
    --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "0"' "$1" tree \\
    "deb $2 $1 main" "deb $2 $1-updates main" "deb $3 $1-security main"
"""
INSTALL = """
mount --bind /dev tree/dev
mount -t proc proc tree/proc
mount -t sysfs sysfs tree/sys
cp /etc/resolv.conf tree/etc/resolv.conf
printf '#!/bin/sh\\nexit 101\\n' > tree/usr/sbin/policy-rc.d
chmod +x tree/usr/sbin/policy-rc.d
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
chroot tree env -u TMPDIR apt-get -y -q --no-install-recommends install $5
"""
FILL = 'mke2fs -q -t ext4 -d tree "$1" 8G'


def by_hand(bench: Bench, _options: argparse.Namespace) -> None:
    """The README's Debian image, cold: dib-py, and mmdebstrap, apt-get and qemu-img one after the other by hand."""
    image, place = bench.work / "whole.qcow2", bench.work / "by-hand" / "tmp"
    elements = ["debian", "vm", "cloud-init", "growroot", "qga"]
    ours = bench.dib_py("dib-py", "--target", "host", "-o", str(image), *elements, tool="by-hand-dib-py")
    listed = json.loads((bench.work / "whole.d/dib-manifests/dib-manifest-dpkg-whole").read_text())["packages"]
    packages = " ".join(sorted(one["package"].partition(":")[0] for one in listed))
    arguments = ["bash", bench.release, bench.mirror, bench.security, bootstrapped(), packages]

    def step(name: str, script: str) -> float:
        argv = ["unshare", "--mount", "bash", "-euc", f"cd {shlex.quote(str(place))}\n{script}"]
        return bench.run(name, [*argv, *arguments], "by-hand").wall

    raw, theirs = place / "disk.raw", place / "disk.qcow2"
    convert = ["qemu-img", "convert", "-W", "-m", "8", "-c", "-O", "qcow2", "-o", "compression_type=zstd"]
    total = step("mmdebstrap", BOOTSTRAP) + step("apt-get install", INSTALL)
    subprocess.run(["bash", "-euc", FILL, "bash", str(raw)], cwd=place, check=True)  # not counted
    total += bench.run("qemu-img convert", [*convert, "-f", "raw", str(raw), str(theirs)], "by-hand").wall
    names = output(["chroot", str(place / "tree"), "dpkg-query", "-W", "-f", "${binary:Package} "]).split()
    missing = {one["package"] for one in listed} ^ set(names)
    if missing:
        raise SystemExit(f"not the same packages: {' '.join(sorted(missing))}")
    bench.report.verdicts["dib-py / the sum of its tools (goal: at most 1.25)"] = ours.wall / total


def bootstrapped() -> str:
    """The packages that the bootstrap installs, by the hook that does it."""
    hook = (ROOT / "elements/debootstrap/root.d/08-debootstrap").read_text()
    common = hook.partition("\npackages=")[2].partition("\n")[0]
    return f"{common},busybox,gnupg2"
