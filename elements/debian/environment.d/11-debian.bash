# the cloud image's name, for base-image.yaml
case "$DIB_RELEASE" in
    bullseye | oldoldstable) _debian_version=11 ;;
    bookworm | oldstable) _debian_version=12 ;;
    trixie | stable) _debian_version=13 ;;
    *) _debian_version=$DIB_RELEASE ;;
esac
export BASE_IMAGE_FILE=${BASE_IMAGE_FILE:-debian-$_debian_version-generic-$ARCH.qcow2}
unset _debian_version
