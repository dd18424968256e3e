#!/bin/bash
# Runs programs in the libguestfs appliance for dib-py, one at a time, on one virtio-serial port.
#
# In:   "environment SIZE\n" and SIZE bytes: the environment of the programs that follow;
#       "run NONCE SPACE COUNT SIZE INPUT\n", COUNT fields of SIZE bytes (root, "" for the appliance; working directory;
#       arguments) and INPUT bytes for the program's standard input. SPACE is where a proc of its own goes, "-" for
#       none, or "none" for a program without namespaces of its own;
#       "script NONCE - COUNT SIZE INPUT\n": likewise, the fields being a text of the engine's for this bash and its
#       arguments;
#       "kill NONCE\n" ends what runs, with all that it started.
#       Fields, and the variables of an environment (NAME=value), end with NUL.
# Out:  what the program prints, raw, then NUL "dib-end NONCE EXITCODE\n".
#
# The appliance has bash and coreutils, but neither Python nor Perl. Without KVM a program that is started costs 50 ms
# and more, a fork of this shell 5 ms and a byte that it reads itself 10 us: so few programs are started.
set -u

# Fields of up to so many bytes are read without another program.
short=4096

# The next COUNT fields of SIZE bytes on the port.
read_fields() {
    if (($2 > short)); then
        head -c "$2" <&3 >"$work/request"
        mapfile -d '' -t field <"$work/request"
    elif (($1 > 0)); then
        mapfile -d '' -t -n "$1" -u 3 field
    else
        field=()
    fi
}

# Becomes the program. In a pid namespace of its own "timeout 0" is pid 1, and takes all that the program leaves behind
# down by ending; the program itself must not be pid 1, which no signal of its own could end.
program() {
    local space=$1 root=${field[0]} cwd=${field[1]}
    local -a command=(env -i -- "${environment[@]}")
    if [[ -n $root ]]; then
        command+=(/usr/bin/unshare --root="$root" --wd="$cwd" -- "${field[@]:2}")
    else
        cd "$cwd" || exit 1
        command+=("${field[@]:2}")
    fi
    # "unchanged": what a program mounts below the guest's root, which is shared, later programs see
    local -a apart=(unshare --pid --fork --kill-child --mount --propagation unchanged)
    case $space in
    none) exec "${command[@]}" ;;
    -) exec "${apart[@]}" -- timeout 0 "${command[@]}" ;;
    *) exec "${apart[@]}" --mount-proc="$space" -- timeout 0 "${command[@]}" ;;
    esac
}

# A text of the engine's, in this shell.
script() {
    local text=${field[0]}
    set -- "${field[@]:1}"
    cd /
    set -e
    eval "$text"
}

# Runs one program in a process group of its own, and ends its output with the marker. A pipe, not the port, is its
# standard output, so that it can open /dev/stdout and /dev/stderr again.
job() {
    local verb=$1 nonce=$2 space=$3 input=$4 status
    set -m
    {
        set +m
        echo "$nonce $BASHPID" >"$work/running"
        "$verb" "$space"
    } <"$input" >&"$out" 2>&1 3>&- {out}>&- &
    exec 2>/dev/null # bash would report how the program died
    wait "$!"
    status=$?
    printf '\0dib-end %s %s\n' "$nonce" "$status" >&"$out"
}

serve() {
    exec 3<>"$1"
    work=$2
    exec {out}> >(exec cat >&3)
    set -m # without job control, what runs in the background ignores interrupts
    local verb nonce space count size input source running pid
    local -a environment=() field=()
    while read -r verb nonce space count size input <&3; do
        case $verb in
        environment)
            head -c "$nonce" <&3 >"$work/environment"
            mapfile -d '' -t environment <"$work/environment"
            ;;
        run | script)
            read_fields "$count" "$size"
            source=/dev/null
            if ((input > 0)); then
                source=$work/input
                head -c "$input" <&3 >"$source"
            fi
            [[ $verb == script ]] || verb=program
            job "$verb" "$nonce" "$space" "$source" &
            ;;
        kill)
            read -r running pid <"$work/running"
            if [[ $running == "$nonce" ]]; then
                kill -KILL "$pid"
                kill -KILL -- "-$pid" # without namespaces it leads a process group
            fi
            ;;
        esac
    done
}

"$@"
