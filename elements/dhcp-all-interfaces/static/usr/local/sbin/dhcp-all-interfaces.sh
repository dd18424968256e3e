#!/bin/sh
# Have an interface (or, without an argument, all of them) configured by DHCP, if it is a real one and nobody has
# configured it yet. With an argument it is brought up, too; without, whatever starts the network does that.
# DHCP_ALL_INTERFACES_ROOT stands in for the root of the running system.

set -eu
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

system=${DHCP_ALL_INTERFACES_ROOT:-}
net=$system/sys/class/net
timeout=30 # seconds to wait for a link, and for a router
if [ -f "$system/etc/default/dhcp-all-interfaces" ]; then
    # shellcheck disable=SC1091 # the build writes it
    . "$system/etc/default/dhcp-all-interfaces"
fi

has() {
    command -v "$1" > /dev/null
}

# What configures the network here. Where netplan is, it has networkd do it, whatever else is installed. The Red Hat
# family has a directory for the files of its old scripts also where these are gone.
backend() {
    if has ifup && [ -d "$system/etc/network" ] && ! has netplan; then
        echo interfaces
    elif has ifup && [ -e "$system/etc/sysconfig/network-scripts/network-functions" ]; then
        echo scripts
    elif has nmcli; then
        echo network_manager
    elif has wicked; then
        echo wicked
    elif has networkctl; then
        echo networkd
    else
        echo "dhcp-all-interfaces: nothing here is known to configure interfaces" >&2
        return 1
    fi
}

attribute() {
    cat "$net/$1/$2" 2> /dev/null || echo "${3:-}"
}

# A VLAN on a real interface has that one's address, and its name with a number behind.
is_vlan() {
    [ "$(attribute "$1" addr_assign_type)" = 2 ] && [ "${1%%.*}" != "$1" ] \
        && [ "$(attribute "${1%%.*}" addr_assign_type)" = 0 ]
}

is_real() {
    [ "$(attribute "$1" addr_assign_type)" = 0 ] || is_vlan "$1"
}

has_link() {
    left=$timeout
    while [ "$left" -gt 0 ]; do
        # whether there is a link is not known of an interface that is down
        ip link set dev "$1" up 2> /dev/null || true
        [ "$(attribute "$1" carrier 0)" != 1 ] || return 0
        left=$((left - 1))
        sleep 1
    done
    return 1
}

# What the routers want of IPv6 hosts: "none" (no router, no IPv6), "addresses" (addresses by DHCP), "options" (only other
# settings by DHCP) or "routers" (all from them).
ipv6() {
    has rdisc6 || { echo none; return; }
    left=$timeout
    while [ "$left" -gt 0 ]; do
        status=0
        answer=$(rdisc6 --retry 3 --single "$1" 2> /dev/null) || status=$?
        case "$status" in
            0)
                printf '%s\n' "$answer" | awk '
                    /Stateful address conf/ && /Yes/ { addresses = 1 }
                    /Stateful other conf/ && /Yes/ { options = 1 }
                    END { print addresses ? "addresses" : options ? "options" : "routers" }'
                return
                ;;
            1) sleep 1 ;; # the interface has no address of its own yet
            *) break ;; # nobody answered
        esac
        left=$((left - 1))
    done
    echo none
}

# default_duid FILE: a name for the machine's DHCP client that lasts (RFC 6355), made of its identity
default_duid() {
    [ -d "${1%/*}" ] && [ -s "$system/etc/machine-id" ] || return 0
    printf 'default-duid "\\x00\\x04%s";\n' "$(sed 's/../\\x&/g' "$system/etc/machine-id")" > "$1"
}

# -- ifupdown

interfaces_has() {
    cat "$system/etc/network/interfaces" "$system"/etc/network/interfaces.d/* 2> /dev/null \
        | awk -v name="$1" '$1 == "iface" && $2 == name { found = 1 } END { exit !found }'
}

interfaces_configure() {
    wanted=$(ipv6 "$1")
    [ "$wanted" = none ] || default_duid "$system/var/lib/dhcp/dhclient6--$1.lease"
    (
        # others are configured at the same time
        ! has flock || flock 9
        {
            printf '\nauto %s\niface %s inet dhcp\n' "$1" "$1"
            case "$wanted" in
                addresses) printf '\niface %s inet6 dhcp\n' "$1" ;;
                options) printf '\niface %s inet6 auto\n\tdhcp 1\n' "$1" ;;
                routers) printf '\niface %s inet6 auto\n\tdhcp 0\n' "$1" ;;
            esac
        } >&9
    ) 9>> "$system/etc/network/interfaces"
}

interfaces_start() {
    ifup "$1"
}

# -- the Red Hat family's network-scripts

scripts_has() {
    [ -f "$system/etc/sysconfig/network-scripts/ifcfg-$1" ]
}

scripts_configure() {
    wanted=$(ipv6 "$1")
    {
        printf 'DEVICE="%s"\nBOOTPROTO="dhcp"\nONBOOT="yes"\n' "$1"
        if [ "$(attribute "$1" type)" = 32 ]; then
            printf 'TYPE="InfiniBand"\nCONNECTED_MODE="no"\nDEFROUTE="yes"\nPEERDNS="yes"\nPEERROUTES="yes"\n'
            printf 'IPV4_FAILURE_FATAL="yes"\nIPV6INIT="no"\n'
            wanted=none
        elif is_vlan "$1"; then
            printf 'VLAN="yes"\n'
        else
            printf 'TYPE="Ethernet"\n'
        fi
        [ "$wanted" = none ] || printf 'IPV6INIT="yes"\n'
        case "$wanted" in
            addresses) printf 'IPV6_FORCE_ACCEPT_RA="yes"\nDHCPV6C="yes"\n' ;;
            options) printf 'IPV6_AUTOCONF="yes"\nDHCPV6C="yes"\nDHCPV6C_OPTIONS="-S"\n' ;;
            routers) printf 'IPV6_AUTOCONF="yes"\n' ;;
        esac
    } > "$system/etc/sysconfig/network-scripts/ifcfg-$1"
    [ "$wanted" = none ] || default_duid "$system/var/lib/dhclient/dhclient6--$1.lease"
}

scripts_start() {
    ifup "$1"
}

# -- NetworkManager

network_manager_has() {
    for file in "$system"/etc/NetworkManager/system-connections/*; do
        if [ -f "$file" ] && grep -qx "interface-name=$1" "$file"; then
            return 0
        fi
    done
    return 1
}

network_manager_configure() {
    case "$(attribute "$1" type)" in
        32) kind=infiniband ;;
        *) kind=ethernet ;;
    esac
    if is_vlan "$1"; then
        kind=vlan
    fi
    file=$system/etc/NetworkManager/system-connections/$1.nmconnection
    # it takes no file that others may read
    (
        umask 077
        {
            printf '[connection]\nid=%s\ntype=%s\ninterface-name=%s\n\n' "$1" "$kind" "$1"
            case "$kind" in
                infiniband) printf '[infiniband]\ntransport-mode=datagram\n\n' ;;
                vlan) printf '[vlan]\nid=%s\nparent=%s\n\n' "${1##*.}" "${1%%.*}" ;;
            esac
            printf '[ipv4]\nmethod=auto\n\n[ipv6]\nmethod=auto\n'
        } > "$file"
    )
}

network_manager_start() {
    nmcli connection load "$system/etc/NetworkManager/system-connections/$1.nmconnection"
    nmcli --wait "$timeout" connection up "$1"
}

# -- wicked, on SUSE

wicked_has() {
    [ -f "$system/etc/sysconfig/network/ifcfg-$1" ]
}

wicked_configure() {
    printf "BOOTPROTO='dhcp'\nSTARTMODE='auto'\n" > "$system/etc/sysconfig/network/ifcfg-$1"
}

wicked_start() {
    wicked ifup "$1"
}

# -- networkd: of all files that match an interface it takes the first, so others' go before this one

networkd_has() {
    [ -f "$system/etc/systemd/network/85-dhcp-$1.network" ]
}

networkd_configure() {
    mkdir -p "$system/etc/systemd/network"
    printf '[Match]\nName=%s\n\n[Network]\nDHCP=yes\n' "$1" > "$system/etc/systemd/network/85-dhcp-$1.network"
}

networkd_start() {
    networkctl reload
}

# configure INTERFACE: say what is done with it, and do it; fails where it is none to bring up
configure() {
    if "${backend}_has" "$1"; then
        echo "$1 is configured already"
    elif ! is_real "$1"; then
        echo "$1 is not a real interface: skipped"
        return 1
    elif ! has_link "$1"; then
        echo "$1 has no link: skipped"
        return 1
    else
        "${backend}_configure" "$1"
        echo "$1 is configured by DHCP"
    fi
}

backend=$(backend)
if [ $# -gt 0 ]; then
    if configure "$1"; then
        "${backend}_start" "$1"
    fi
    exit
fi
for path in "$net"/*; do
    name=${path##*/}
    if [ "$name" != lo ] && [ -e "$path/addr_assign_type" ]; then
        configure "$name" || true
    fi
done
