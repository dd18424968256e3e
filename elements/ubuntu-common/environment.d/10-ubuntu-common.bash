export DISTRO_NAME=ubuntu
export DIB_RELEASE=${DIB_RELEASE:-resolute}
export DIB_INIT_SYSTEM=systemd
export EFI_BOOT_DIR=EFI/ubuntu
export DIB_DEBIAN_COMPONENTS=${DIB_DEBIAN_COMPONENTS:-main,universe}

# other architectures than these two have an archive of their own
case "$ARCH" in
    amd64 | i386) export DIB_UBUNTU_DEFAULT_MIRROR=http://archive.ubuntu.com/ubuntu ;;
    *) export DIB_UBUNTU_DEFAULT_MIRROR=http://ports.ubuntu.com/ubuntu-ports ;;
esac
export DIB_DISTRIBUTION_MIRROR=${DIB_DISTRIBUTION_MIRROR:-$DIB_UBUNTU_DEFAULT_MIRROR}
