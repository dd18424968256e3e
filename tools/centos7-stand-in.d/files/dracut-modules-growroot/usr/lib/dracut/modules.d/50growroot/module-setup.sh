#!/bin/bash
# shellcheck disable=SC2154 # dracut's variables

check() {
    [ -x /usr/bin/growpart ]
}

depends() {
    echo fs-lib
}

install() {
    inst_multiple awk cut dd grep mktemp partx readlink sed sfdisk sgdisk udevadm growpart
    inst_hook pre-mount 99 "$moddir/growroot.sh"
}
