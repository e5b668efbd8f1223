# shellcheck shell=bash disable=SC2034,SC2004,SC2154 # variables of install.sh; old_env is associative
# Reads the old unit: its environment, as systemd would set it, and its command. Part of install.sh. Changes nothing.
# It reads unit files as systemd does: sections, drop-ins by name, quotes, escapes, empty resets.
# `systemctl show` is not enough: a system below --root has no systemd, a running systemd answers for the units as it
# last loaded them, and neither shows the contents of an environment file.

look_at_old_unit() {
    local folder file
    for folder in "${UNIT_FOLDERS[@]}"; do
        file=$root$folder/systemd/system/$SERVICE
        [[ -e $file || -L $file ]] || continue
        old_unit=$file
        break
    done
    if [[ -n $old_unit && -r $old_unit ]]; then
        ! grep -qE '^ExecStart=[-@:+!]*/usr/local/bin/crypto-proxy[[:space:]]+serve' "$old_unit" || ours=yes
        warn_of_writers "$old_unit" # ours is replaced
        read_unit "$old_unit"
    fi
    # An earlier run that was killed moved them away, and did not replace the unit.
    if [[ -z $ours$dry_run && -e $UNIT.d.install-old && ! -e $UNIT.d ]]; then mv -T -- "$UNIT.d.install-old" "$UNIT.d"; fi
    # Drop-ins can exist without a unit: systemd keeps their directory when the unit is deleted.
    while IFS= read -r file; do
        judge_source "$file"
        read_unit "$file"
    done < <(drop_ins)
    # Files override Environment=, whatever their order in the unit, and a later file overrides an earlier one.
    for file in "${read_files[@]}"; do read_env_into_old "$file"; done
}

# Whether /etc/crypto.env is a source of the unit: nothing, or yes.
reads_env_file() {
    local source
    for source in "${read_files[@]}" "${credentials[@]#*:}"; do
        [[ $source != /etc/crypto.env ]] || { printf yes && return; }
    done
}

# Our drop-ins in systemd's order: by name, whatever the directory. Among equal names, the first directory's counts. A
# link to /dev/null is ignored.
drop_ins() {
    local file
    for file in "$root"/{etc,run,usr/local/lib,usr/lib}/systemd/system/"$SERVICE".d/*.conf; do
        printf '%s/%s\n' "${file##*/}" "$file"
    done | sort -s -u -t/ -k1,1 | cut -d/ -f2- | while IFS= read -r file; do
        [[ $file -ef /dev/null ]] || printf '%s\n' "$file"
    done
}

# Collects Environment=, EnvironmentFile=, credentials and ExecStart= of [Service]; a backslash at a line's end continues it.
read_unit() {
    local line logical='' section='' more=''
    while IFS= read -r line || [[ -n $line ]]; do
        line=${line%$'\r'}
        line=${line##+([[:space:]])}
        [[ $line != [\#\;]* ]] || continue
        if [[ $line == *\\ ]]; then
            logical+=${line%\\}' '
            more=yes
            continue
        fi
        logical+=$line
        if [[ -z $more && $logical == \[*\]* ]]; then section=$logical; fi
        [[ $section != '[Service]'* ]] || service_setting "$logical"
        logical='' more=''
    done <"$1"
}

service_setting() {
    local name=${1%%=*} value=${1#*=} word path
    name=${name%%+([[:space:]])}
    value=${value##+([[:space:]])}
    case $name in
        Environment)
            [[ -n $value ]] || old_env=() old_from=()
            split_words "$value"
            for word in "${WORDS[@]}"; do
                [[ $word == [A-Za-z_]*([A-Za-z0-9_])=* ]] || continue
                old_env[${word%%=*}]=${word#*=} old_from[${word%%=*}]="the old unit's Environment="
            done
            ;;
        EnvironmentFile)
            path=${value#-}
            if [[ -z $path ]]; then read_files=(); else read_files+=("$path"); fi
            ;;
        LoadCredential | LoadCredentialEncrypted | SetCredential | SetCredentialEncrypted | ImportCredential)
            if [[ -z $value ]]; then credentials=(); else credentials+=("$value"); fi
            ;;
        ExecStart)
            if [[ -z $value ]]; then old_exec=''; else old_exec+=" $value"; fi
            ;;
    esac
}

# Splits like systemd: quotes anywhere in a word, C escapes, %% for a percent sign. Leaves the result in WORDS.
split_words() {
    local text=$1 word='' quote='' open='' c i
    WORDS=()
    for ((i = 0; i < ${#text}; i++)); do
        c=${text:i:1}
        if [[ $c == \\ ]]; then
            unescape "${text:i+1}"
            word+=$UNESCAPED
            i=$((i + TAKEN))
            open=yes
        elif [[ -n $quote ]]; then
            if [[ $c == "$quote" ]]; then quote=''; else word+=$c; fi
        elif [[ $c == [\'\"] ]]; then
            quote=$c open=yes
        elif [[ $c == [[:space:]] ]]; then
            [[ -z $open ]] || WORDS+=("${word//%%/%}")
            word='' open=''
        else
            word+=$c open=yes
        fi
    done
    [[ -z $open ]] || WORDS+=("${word//%%/%}")
}

# One escape, given the text after the backslash: its value in UNESCAPED, its length in TAKEN.
unescape() {
    TAKEN=1
    case $1 in
        x[[:xdigit:]][[:xdigit:]]*) TAKEN=3 ;;
        [0-7][0-7][0-7]*) TAKEN=3 ;;
        [abfnrtv]*) ;;
        s*)
            UNESCAPED=' '
            return
            ;;
        *)
            UNESCAPED=${1:0:1}
            return
            ;;
    esac
    printf -v UNESCAPED '%b' "\\${1:0:TAKEN}"
}

read_env_into_old() {
    local path=$1 name file
    for file in "$root"$path; do # a pattern is allowed here
        [[ -r $file && ! $file -ef /dev/null ]] || continue
        judge_source "$file"
        slurp "$file"
        parse_env "$SLURPED"
        for name in "${!ENV[@]}"; do old_env[$name]=${ENV[$name]} old_from[$name]=${file#"$root"}; done
        [[ $path == /etc/crypto.env || -n $ours ]] ||
            note "The old unit also read ${file#"$root"}; the new one reads /etc/crypto.env alone."
    done
}
