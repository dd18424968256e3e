# architectures by the names that RPM has for them
case "${ARCH:-}" in
    amd64) DIB_RPM_ARCH=x86_64 ;;
    arm64) DIB_RPM_ARCH=aarch64 ;;
    ppc64el) DIB_RPM_ARCH=ppc64le ;;
    *) DIB_RPM_ARCH=${ARCH:-} ;;
esac
export DIB_RPM_ARCH
