#!/bin/bash
# Runs programs in the libguestfs appliance for dib-py, one at a time, on one virtio-serial port.
#
# In:   "run NONCE SPACE SIZE INPUT\n", SIZE bytes that say what to run, INPUT bytes for its standard input; SPACE is
#       where a proc of the program's own goes, "-" for none, or "none" for a program without namespaces of its own;
#       "kill NONCE\n" ends what runs, with all that it started.
# Out:  what the program prints, raw, then NUL "dib-end NONCE EXITCODE\n".
# What to run: NUL-terminated fields: root ("" is the appliance), working directory, count of arguments, arguments,
#       NAME=value...
#
# The appliance has bash and coreutils, but neither Python nor Perl; without KVM each program started costs 50 ms, so
# few are.
set -u
export LC_ALL=C

# What runs last of all before the program. In a pid namespace it is pid 1: it reaps what the program leaves behind and
# takes all of it down by ending. The program itself must not be pid 1, which no signal of its own could end.
init() {
    local -a field
    mapfile -d '' -t field <"$1"
    local root=${field[0]} cwd=${field[1]} count=${field[2]}
    set -m # a process group of its own, so that "kill 0" ends only the program
    if [[ -n $root ]]; then
        env -i -- "${field[@]:3+count}" /bin/unshare --root="$root" --wd="$cwd" -- "${field[@]:3:count}" <&0 &
    else
        cd "$cwd" || exit 1
        env -i -- "${field[@]:3+count}" "${field[@]:3:count}" <&0 &
    fi
    exec 2>/dev/null # bash would report how the program died
    wait "$!"
    exit "$?"
}

# Runs one program and ends its output with the marker. A pipe, not the port, is its standard output, so that it can
# open /dev/stdout and /dev/stderr again.
job() {
    local nonce=$1 space=$2 input=$3 program status
    program=(/bin/bash "$work/runner" init "$work/request")
    case $space in
    none) program=(setsid "${program[@]}") ;;
    -) program=("${unshare[@]}" -- "${program[@]}") ;;
    *) program=("${unshare[@]}" --mount-proc="$space" -- "${program[@]}") ;;
    esac
    {
        echo "$nonce $BASHPID" >"$work/running"
        exec "${program[@]}"
    } <"$input" 2>&1 3>&- | cat >&3
    status=${PIPESTATUS[0]}
    printf '\0dib-end %s %s\n' "$nonce" "$status" >&3
}

serve() {
    set -m # without job control, what runs in the background ignores interrupts
    exec 3<>"$1"
    work=$2
    # "unchanged": what a program mounts below the guest's root, which is shared, later programs see
    unshare=(unshare --pid --fork --kill-child --mount --propagation unchanged)
    local verb nonce space size input source running pid
    while read -r verb nonce space size input <&3; do
        case $verb in
        run)
            head -c "$size" <&3 >"$work/request"
            source=/dev/null
            if ((input > 0)); then
                source=$work/input
                head -c "$input" <&3 >"$source"
            fi
            job "$nonce" "$space" "$source" &
            ;;
        kill)
            read -r running pid <"$work/running"
            if [[ $running == "$nonce" ]]; then
                kill -KILL "$pid"
                kill -KILL -- "-$pid" # without namespaces it leads a session
            fi
            ;;
        esac
    done
}

"$@"
