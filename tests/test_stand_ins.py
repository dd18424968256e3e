"""Cloud elements on Alpine and Arch, each from its cloud image on loopback; stand-ins, as tests/stand_in.py says."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import package_repository
from tests.building import add_hook, build, left_behind
from tests.elements_lib.distributions import UBUNTU, grub_settings
from tests.package_repository import Server, serving
from tests.stand_in import HERE, Files, Tree, debian_package, make_apk, make_pacman, programs, text_file

pytestmark = pytest.mark.root

CLOUD = (
    *(
        "cloud-init",
        "cloud-init-datasources",
        "cloud-init-nocloud",
        "growroot",
        "acpid",
        "qga",
        "nozeroconf",
        "console",
    ),
    *("enable-serial-console", "no-hardcoded-mac", "openssh-server", "runtime-ssh-host-keys", "devuser", "no-firewall"),
    *("fetch-ssh-key", "selinux-permissive", "local-config", "manifests", "sbom", "dhcp-all-interfaces"),
)
SUDO = {"usr/sbin/visudo": text_file("#!/bin/sh\n", 0o755), "etc/sudoers": text_file("root ALL=(ALL) ALL\n", 0o440)}
USERS = ("useradd", "usermod", "groupadd", "chpasswd")
SSH = {
    "etc/ssh/sshd_config": text_file("Ciphers aes128-cbc\nPermitRootLogin no\n"),
    "usr/bin/ssh": text_file("#!/bin/sh\nexit 1\n", 0o755),
}


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    tree = image.with_suffix(".tree")
    tree.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", image, tree], check=True)
    try:
        yield tree
    finally:
        subprocess.run(["umount", tree], check=True)


def want(directory: Path, package: str) -> None:
    """An element ``wants`` that asks for a package."""
    element = directory / "elements" / "wants"
    element.mkdir(parents=True)
    (element / "element-deps").write_text("package-installs\n")
    (element / "package-installs.yaml").write_text(f"{package}:\n")


def assert_common(tree: Path) -> None:
    """What the elements leave behind on every distribution."""
    assert "aes128-cbc" not in (tree / "etc/ssh/sshd_config").read_text()
    assert "\ndevuser:" in (tree / "etc/passwd").read_text()
    assert "devuser" in (tree / "etc/sudoers.d/devuser").read_text()
    assert list(tree.glob("etc/cloud/cloud.cfg.d/*"))
    assert list(tree.glob("etc/ssh/ssh_host_*")) == []
    assert not (tree / "etc/sysconfig").exists()


# -- Alpine


def openrc(*names: str) -> Files:
    return {f"etc/init.d/{name}": text_file("#!/sbin/openrc-run\ncommand=/bin/true\n", 0o755) for name in names}


def alpine_packages() -> dict[str, Files]:
    """What Alpine's packages of these names have as far as elements look at it."""
    tools = ("env", "mktemp", "install", "stat", "tee", "sort", "basename", "dirname", "cp", "mv", "rm", "ls", "date")
    packages: dict[str, Files] = {
        "bash": programs("bash"),
        "coreutils": programs(*tools, "chmod", "chown", "mkdir", "ln", "cat", "readlink", "tail", "head", "touch"),
        "findutils": programs("find", "xargs"),
        "grep": programs("grep"),
        "sed": programs("sed"),
        "shadow": programs(*USERS),
        "tar": programs("tar"),
        "acpid": {
            **openrc("acpid"),
            "etc/acpi/events/anything": text_file("event=button/power.*\naction=/etc/acpi/power\n"),
        },
        "cloud-init": {
            **openrc(
                "cloud-init",
                "cloud-init-local",
                "cloud-config",
                "cloud-final",
                "cloud-init-hotplugd",
                "cloud-init-ds-identify",
            ),
            "etc/cloud/cloud.cfg": text_file("ssh_pwauth: false\n"),
            "sbin/setup-cloud-init": text_file(
                "#!/bin/sh\nrc-update add cloud-init-local boot\n"
                "for s in cloud-init cloud-config cloud-final; do rc-update add $s default; done\n",
                0o755,
            ),
        },
        "eudev": openrc("udev", "udev-trigger", "udev-settle"),
        "udev-init-scripts": openrc("udev-postmount"),
        "qemu-guest-agent": {
            **openrc("qemu-guest-agent"),
            "etc/conf.d/qemu-guest-agent": text_file('GA_METHOD="virtio-serial"\n'),
        },
        "openssh": {**SSH, **openrc("sshd")},
        "sudo": SUDO,
        "tree": {"usr/bin/tree": text_file("#!/bin/sh\n", 0o755)},
    }
    names = ("cloud-utils-growpart", "e2fsprogs-extra", "findmnt", "lsblk", "partx", "sfdisk", "curl", "net-tools")
    for name in (*names, "openssh-keygen", "dhcpcd", "iproute2"):
        packages[name] = {f"usr/sbin/{name}": text_file("#!/bin/sh\n", 0o755)}
    return {name: {_lower(path): file for path, file in files.items()} for name, files in packages.items()}


def _lower(path: str) -> str:
    return f"usr/{path}" if path.startswith(("sbin/", "bin/", "lib/")) else path


@pytest.fixture(scope="module")
def alpine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A mirror with a cloud image and packages."""
    mirror = tmp_path_factory.mktemp("alpine")
    make_apk(mirror / "v3.24/main/x86_64", alpine_packages())
    make_apk(mirror / "v3.24/community/x86_64", {"nothing": {"usr/share/nothing": text_file("x")}})
    tree = Tree(mirror / "tree")
    for package in ("openrc", "librc1", "libeinfo1"):
        try:
            tree.unpack(debian_package(package))
        except subprocess.SubprocessError:
            pytest.skip(f"needs Debian's package {package}")
    tree.busybox()
    tree.unpack(programs("rc-update") if shutil.which("rc-update") else {})
    tree.unpack({"usr/sbin/apk": (0o755, (HERE / "apk").read_bytes())})
    tree.write("etc/apk/arch", "x86_64\n")
    default = "https://dl-cdn.alpinelinux.org/alpine/v3.24"
    tree.write("etc/apk/repositories", f"{default}/main\n{default}/community\n")
    tree.write("etc/os-release", 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.24.1\n')
    tree.write("etc/alpine-release", "3.24.1\n")
    for level in ("sysinit", "boot", "default", "shutdown"):
        (tree.root / "etc/runlevels" / level).mkdir(parents=True, exist_ok=True)
    for name in ("networking", "iptables"):
        tree.write(f"etc/init.d/{name}", "#!/sbin/openrc-run\n", 0o755)
    (tree.root / "usr/sbin/init").symlink_to("/bin/busybox")
    tree.write("etc/inittab", "tty1::respawn:/sbin/getty 38400 tty1\n#ttyS0::respawn:/sbin/getty -L 0 ttyS0 vt100\n")
    tree.write("etc/update-extlinux.conf", 'default_kernel_opts="quiet rootfstype=ext4"\nserial_port=\n')
    cloud = mirror / "v3.24/releases/cloud"
    cloud.mkdir(parents=True)
    raw = tree.image(mirror / "alpine.raw")
    name = "generic_alpine-3.24.1-x86_64-bios-cloudinit-r0.qcow2"
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, cloud / name], check=True)
    raw.unlink()
    digest = hashlib.sha512((cloud / name).read_bytes()).hexdigest()
    (cloud / f"{name}.sha512").write_text(f"{digest}  {name}\n")
    with serving(mirror) as server:
        yield mirror, server


def on_alpine(directory: Path, server: Server, *arguments: str, **environ: str) -> tuple[int, str]:
    mirror = f"http://127.0.0.1:{server.port}"
    return build(directory, Path(), "-t", "raw", "alpine", *arguments, DIB_DISTRIBUTION_MIRROR=mirror, **environ)


@pytest.mark.slow
def test_alpine(alpine: tuple[Path, Server], tmp_path: Path) -> None:
    _, server = alpine
    code, output = on_alpine(tmp_path, server, *CLOUD, "-p", "tree", DIB_DEV_USER_PWDLESS_SUDO="1")
    assert code == 0, output
    with mounted(tmp_path / "out.raw") as tree:
        services = {f"{path.parent.name}/{path.name}" for path in tree.glob("etc/runlevels/*/*")}
        assert {"default/acpid", "default/qemu-guest-agent", "default/growroot"} <= services
        assert {"boot/cloud-init-local", "default/cloud-final", "default/sshd"} <= services
        assert 'default_kernel_opts="rootfstype=ext4 console=tty0' in (tree / "etc/update-extlinux.conf").read_text()
        assert "ttyS0::respawn:/sbin/getty -L 115200 ttyS0 vt100\n" in (tree / "etc/inittab").read_text()
        assert_common(tree)
        world = (tree / "etc/apk/world").read_text().split()
        assert {"bash", "acpid", "cloud-init", "cloud-utils-growpart", "qemu-guest-agent", "tree"} <= set(world)
        repositories = (tree / "etc/apk/repositories").read_text().splitlines()
        assert repositories[0] == f"http://127.0.0.1:{server.port}/v3.24/main"
        assert list(tree.glob("var/cache/apk/*")) == []
        assert not (tree / "tmp/in_target.d").exists()
        assert "bash-1.0-r0" in (tree / "etc/dib-manifests/dib-manifest-apk-out").read_text()
    assert left_behind(tmp_path) == []

    before = len(server.asked)
    code, output = on_alpine(tmp_path, server, *CLOUD, "-p", "tree", "--offline", "--no-cache")
    assert code == 0, output
    assert server.asked[before:] == []


def test_a_package_that_alpine_has_not(alpine: tuple[Path, Server], tmp_path: Path) -> None:
    want(tmp_path, "no-such-package")
    code, output = on_alpine(tmp_path, alpine[1], "wants")
    assert code != 0
    assert "there is no package no-such-package (wants asks for it)" in output
    assert left_behind(tmp_path) == []


def test_a_guest_without_bash_that_nobody_helps(alpine: tuple[Path, Server], tmp_path: Path) -> None:
    mirror, _ = alpine
    image = next((mirror / "v3.24/releases/cloud").glob("*.qcow2"))
    add_hook(tmp_path, "plain", "install.d/10-x", "true")
    code, output = build(tmp_path, Path(), "--base", str(image), "--trust-base", "plain")
    assert code != 0
    assert "has no bash" in output, output


# -- Arch


def units(*names: str) -> Files:
    unit = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"
    return {f"usr/lib/systemd/system/{name}.service": text_file(unit) for name in names}


def arch_packages() -> dict[str, Files]:
    return {
        "acpid": {
            **units("acpid"),
            "etc/acpi/events/anything": text_file("event=.*\naction=/etc/acpi/handler.sh %e\n"),
        },
        "cloud-init": {
            **units(
                "cloud-init", "cloud-init-local", "cloud-config", "cloud-final", "cloud-init-main", "cloud-init-network"
            ),
            "etc/cloud/cloud.cfg": text_file("ssh_pwauth: false\n"),
        },
        "cloud-guest-utils": {"usr/bin/growpart": text_file("#!/bin/sh\n", 0o755)},
        "e2fsprogs": {"usr/bin/resize2fs": text_file("#!/bin/sh\n", 0o755)},
        "qemu-guest-agent": units("qemu-guest-agent"),
        "curl": {"usr/bin/curl": text_file("#!/bin/sh\n", 0o755)},
        "net-tools": {"usr/bin/route": text_file("#!/bin/sh\n", 0o755)},
        "iproute2": {"usr/bin/ip-of-iproute2": text_file("#!/bin/sh\n", 0o755)},
        "openssh": {**SSH, **units("sshd")},
        "sudo": SUDO,
        "tree": {"usr/bin/tree": text_file("#!/bin/sh\n", 0o755)},
    }


@pytest.fixture(scope="module")
def arch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A mirror with a cloud image and packages."""
    if not (shutil.which("pacman") and shutil.which("repo-add")):
        pytest.skip("needs pacman and repo-add")
    mirror = tmp_path_factory.mktemp("arch")
    make_pacman(mirror / "core/os/x86_64", "core", arch_packages())
    tree = Tree(mirror / "tree")
    tools = ("env", "mktemp", "install", "stat", "tee", "sort", "basename", "dirname", "cp", "mv", "rm", "ls", "date")
    more = (
        "chmod",
        "chown",
        "mkdir",
        "ln",
        "cat",
        "readlink",
        "tail",
        "head",
        "touch",
        "find",
        "xargs",
        "grep",
        "sed",
        "tar",
    )
    tree.unpack(programs("bash", "pacman", "systemctl", "systemd-tmpfiles", *USERS, *tools, *more))
    tree.busybox()
    (tree.root / "usr/bin/sh").unlink()
    (tree.root / "usr/bin/sh").symlink_to("bash")
    for name in ("var/lib/pacman/sync", "var/lib/pacman/local", "var/cache/pacman/pkg", "etc/pacman.d", "var/log"):
        (tree.root / name).mkdir(parents=True, exist_ok=True)
    options = "[options]\nArchitecture = x86_64\nCheckSpace\nSigLevel = Never\n"
    tree.write("etc/pacman.conf", f"{options}[core]\nInclude = /etc/pacman.d/mirrorlist\n")
    (tree.root / "etc/mtab").symlink_to("../proc/self/mounts")
    tree.write("etc/pacman.d/mirrorlist", "Server = https://geo.mirror.pkgbuild.com/$repo/os/$arch\n")
    tree.write("etc/mkinitcpio.conf", "HOOKS=(base udev autodetect modconf block filesystems fsck)\n")
    tree.write("etc/os-release", 'NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n')
    images = mirror / "images/latest"
    images.mkdir(parents=True)
    name = "Arch-Linux-x86_64-cloudimg.qcow2"
    raw = tree.image(mirror / "arch.raw")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, images / name], check=True)
    raw.unlink()
    digest = hashlib.sha256((images / name).read_bytes()).hexdigest()
    (images / f"{name}.SHA256").write_text(f"{digest}  {name}\n")
    with serving(mirror) as server:
        yield mirror, server


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of a publisher's key, with the public part in ``key.asc``."""
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    key = ["--passphrase", "", "--quick-generate-key", "publisher <x@example.com>", "ed25519", "sign", "never"]
    gpg(home, *key)
    gpg(home, "--armor", "--output", str(home / "key.asc"), "--export")
    yield home
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=False)


def gpg(home: Path, *arguments: str) -> None:
    command = ["gpg", "--homedir", str(home), "--batch", "--yes", *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def signed_arch(arch: tuple[Path, Server], signer: Path) -> tuple[Server, Path]:
    """Its image with a signature; and the keyring of who signed it."""
    mirror, server = arch
    image = next((mirror / "images/latest").glob("*.qcow2"))
    gpg(signer, "--output", f"{image}.sig", "--detach-sign", str(image))
    return server, signer / "key.asc"


def on_arch(directory: Path, server: Server, *arguments: str, **environ: str) -> tuple[int, str]:
    mirror = f"http://127.0.0.1:{server.port}"
    return build(directory, Path(), "-t", "raw", "arch", *arguments, DIB_DISTRIBUTION_MIRROR=mirror, **environ)


@pytest.mark.slow
def test_arch(signed_arch: tuple[Server, Path], tmp_path: Path) -> None:
    server, keyring = signed_arch
    environ = {"DIB_ARCH_KEYRING": str(keyring), "DIB_DEV_USER_PWDLESS_SUDO": "1"}
    code, output = on_arch(tmp_path, server, *CLOUD, "-p", "tree", **environ)
    assert code == 0, output
    with mounted(tmp_path / "out.raw") as tree:
        wanted = {path.name for path in tree.glob("etc/systemd/system/multi-user.target.wants/*")}
        assert {f"{name}.service" for name in ("acpid", "qemu-guest-agent", "cloud-final", "growroot")} <= wanted
        assert "sshd.service" in wanted
        assert_common(tree)
        manifest = (tree / "etc/dib-manifests/dib-manifest-pacman-out").read_text().split("\n")
        assert {"acpid 1.0-1", "cloud-guest-utils 1.0-1", "tree 1.0-1"} <= set(manifest)
        listed = (tree / "etc/pacman.d/mirrorlist").read_text()
        assert listed == f"Server = http://127.0.0.1:{server.port}/$repo/os/$arch\n"
        assert list(tree.glob("var/cache/pacman/pkg/*")) + list(tree.glob("var/lib/pacman/sync/*")) == []
        assert not (tree / "tmp/in_target.d").exists()
        sourced = 'source "$1"/etc/mkinitcpio.conf; source "$1"/etc/mkinitcpio.conf.d/dib.conf; echo "${HOOKS[*]}"'
        hooks = subprocess.run(["bash", "-euc", sourced, "x", tree], check=True, capture_output=True, text=True).stdout
        assert hooks == "base udev modconf block filesystems fsck\n"
    assert left_behind(tmp_path) == []

    before = len(server.asked)
    arguments = (*CLOUD, "-p", "tree", "--offline", "--no-cache")
    code, output = on_arch(tmp_path, server, *arguments, DIB_ARCH_KEYRING=str(keyring))
    assert code == 0, output
    assert server.asked[before:] == []


def test_an_arch_that_somebody_else_signed(signed_arch: tuple[Server, Path], tmp_path: Path) -> None:
    """The key that comes with the element is that of Arch's own images."""
    code, output = on_arch(tmp_path, signed_arch[0])
    assert code == 1
    assert "is not signed as it should be: Can't check signature: No public key" in output
    assert left_behind(tmp_path) == []


def test_a_package_that_arch_has_not(signed_arch: tuple[Server, Path], tmp_path: Path) -> None:
    server, keyring = signed_arch
    want(tmp_path, "no-such-package")
    code, output = on_arch(tmp_path, server, "wants", DIB_ARCH_KEYRING=str(keyring))
    assert code != 0
    assert "there is no package no-such-package (wants asks for it)" in output
    assert left_behind(tmp_path) == []


# -- Ubuntu

# as far as it goes by the settings; sh is dash, as there
GRUB_MKCONFIG = """\
#!/bin/sh
set -e
[ "$1" = -o ]
. /etc/default/grub
for f in /etc/default/grub.d/*.cfg; do [ ! -e "$f" ] || . "$f"; done
echo "terminal_output $GRUB_TERMINAL" > "$2"
echo "linux /vmlinuz root=$GRUB_DEVICE $GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT" >> "$2"
"""


@pytest.mark.slow
def test_ubuntu(debian_tree: Path, signer: Path, tmp_path: Path) -> None:
    """A minimal Debian in the place of the cloud image, and of Ubuntu's archive a repository of two packages."""
    mirror = tmp_path / "mirror"
    tree = mirror / "tree"
    tree.mkdir(parents=True)
    subprocess.run(["tar", "-C", tree, "-xf", debian_tree], check=True)
    for path in tree.glob("etc/apt/sources.list*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    (tree / "etc/apt/sources.list").write_text("deb [trusted=yes] http://archive.ubuntu.com/ubuntu ./\n")
    for path, text in UBUNTU.files.items():
        if path.startswith("/etc/default/"):
            place = tree / path.lstrip("/")
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
    (tree / "usr/sbin/grub-mkconfig").write_text(GRUB_MKCONFIG)
    (tree / "usr/sbin/grub-mkconfig").chmod(0o755)
    package_repository.make(mirror, "tree", "other")
    image = mirror / "resolute-server-cloudimg-amd64.img"
    Tree.image_of(tree, image, "1G")
    shutil.rmtree(tree)
    (mirror / "SHA256SUMS").write_text(f"{hashlib.sha256(image.read_bytes()).hexdigest()} *{image.name}\n")
    gpg(signer, "--output", f"{mirror}/SHA256SUMS.gpg", "--detach-sign", f"{mirror}/SHA256SUMS")
    with serving(mirror) as server:
        address = f"http://127.0.0.1:{server.port}"
        environ = {
            "DIB_CLOUD_IMAGES": address,
            "DIB_DISTRIBUTION_MIRROR": address,
            "DIB_UBUNTU_KEYRING": str(signer / "key.asc"),
            "ARCH": "amd64",
        }
        code, output = build(tmp_path, Path(), "-t", "raw", "ubuntu", "vm", "console", "-p", "tree", **environ)
        assert code == 0, output
        image.write_bytes(image.read_bytes()[:-1] + b"x")
        (mirror / "SHA256SUMS").write_text(f"{hashlib.sha256(image.read_bytes()).hexdigest()} *{image.name}\n")
        refused, said = build(tmp_path, Path(), "ubuntu", **environ)
    with mounted(tmp_path / "out.raw") as root:
        assert (root / "opt/tree").read_text() == "tree\n"
        assert (root / "etc/apt/sources.list").read_text() == f"deb [trusted=yes] {address} ./\n"
        assert "use_tempaddr = 0" in (root / "etc/sysctl.d/99-cloudimg-ipv6.conf").read_text()
        settings, menu = grub_settings(root), (root / "boot/grub/grub.cfg").read_text()
    consoles = "console=tty0 console=ttyS0,115200n8"
    assert (settings["GRUB_TIMEOUT"], settings["GRUB_TERMINAL"]) == ("5", "serial console")
    assert settings["GRUB_RECORDFAIL_TIMEOUT"] == "0"
    assert settings["GRUB_CMDLINE_LINUX_DEFAULT"].startswith(f"{consoles} ")
    assert menu.endswith(f" {consoles}\n") and menu.count("console=") == 2
    assert refused == 1
    assert "SHA256SUMS is not signed as it should be: BAD signature" in said
    assert left_behind(tmp_path) == []
