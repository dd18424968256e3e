case "${REG_METHOD:-}" in
    '' | disable) ;;
    portal | satellite)
        # nothing that a trace would show may expand to a key
        if [ -z "${REG_ACTIVATION_KEY:+given}${REG_USER:+given}" ]; then
            echo "to register, REG_ACTIVATION_KEY and REG_ORG are needed, or REG_USER and REG_PASSWORD" >&2
            exit 1
        fi
        if [ -n "${REG_ACTIVATION_KEY:+given}" ] && [ -z "${REG_ORG:-}" ]; then
            echo "REG_ACTIVATION_KEY needs REG_ORG" >&2
            exit 1
        fi
        if [ "$REG_METHOD" = satellite ] && [ -z "${REG_SAT_URL:-}" ]; then
            echo "REG_METHOD=satellite needs REG_SAT_URL" >&2
            exit 1
        fi
        # A layer with an identity is of no use to a later build: that identity is gone when this one ends. A value that no
        # other build has keeps all of their keys apart.
        export DIB_RHEL_REGISTRATION=${DIB_RHEL_REGISTRATION:-$EPOCHREALTIME-$BASHPID}
        ;;
    *)
        echo "REG_METHOD is '$REG_METHOD'; it has to be portal, satellite or disable" >&2
        exit 1
        ;;
esac
