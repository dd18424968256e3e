# A layer with an identity is of no use to a later build: that identity is gone when this one ends. A value that no
# other build has keeps all of their keys apart.
case "${REG_METHOD:-}" in
    portal | satellite) export DIB_RHEL_REGISTRATION=${DIB_RHEL_REGISTRATION:-$EPOCHREALTIME-$BASHPID} ;;
esac
