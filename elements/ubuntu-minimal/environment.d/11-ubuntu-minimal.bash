export DIB_UBUNTU_MIRROR_DISTS=${DIB_UBUNTU_MIRROR_DISTS-updates,security,backports}

# a base image has its kernel
if [ -n "${DIB_BASE_IMAGE:-}" ]; then
    export DIB_UBUNTU_KERNEL=${DIB_UBUNTU_KERNEL:-none}
else
    export DIB_UBUNTU_KERNEL=${DIB_UBUNTU_KERNEL:-linux-image-generic}
fi
case "$DIB_UBUNTU_KERNEL" in
    linux-image-generic | linux-image-virtual | linux-image-kvm | linux-image-hwe | none) ;;
    *)
        echo "DIB_UBUNTU_KERNEL is '$DIB_UBUNTU_KERNEL'; it may be linux-image-generic, linux-image-virtual," \
            "linux-image-kvm, linux-image-hwe or none" >&2
        exit 1
        ;;
esac

# of the package ubuntu-keyring; the image has it at the same place
if [ -z "${DIB_UBUNTU_ARCHIVE_KEYRING:-}" ] && [ -r /usr/share/keyrings/ubuntu-archive-keyring.gpg ]; then
    export DIB_UBUNTU_ARCHIVE_KEYRING=/usr/share/keyrings/ubuntu-archive-keyring.gpg
fi
export DIB_UBUNTU_ARCHIVE_KEYRING=${DIB_UBUNTU_ARCHIVE_KEYRING:-}
