#!/bin/bash
# shellcheck disable=SC2154 # dracut's variables
# The kernel says that it is Debian's, while its modules are in a directory with CentOS 7's name: a link joins them.

check() {
    [ -f "/usr/lib/modules/$kernel/stand-in-release" ]
}

install() {
    local says
    says=$(cat "/usr/lib/modules/$kernel/stand-in-release")
    mkdir -p "$initdir/usr/lib/modules"
    [ "$says" = "$kernel" ] || ln -sfn "$kernel" "$initdir/usr/lib/modules/$says"
}
