#!/usr/bin/env bats
# The man pages and the completions against the program: options, profiles, the table of recipes, the examples.

load helper

MAN1=$ROOT/man/mxfp4q.1
MAN5=$ROOT/man/mxfp4q.5
BASH_COMPLETION_FILE=$ROOT/scripts/completion/mxfp4q.bash
ZSH_COMPLETION_FILE=$ROOT/scripts/completion/_mxfp4q

commands() {
    "$MXFP4Q" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# The options in a command's help, as "-o, --output OUT", one a line.
options_of_help() {
    "$MXFP4Q" "$1" --help | sed -n -E 's/^ +((-[a-z], )?--[a-z-]+(\[=[^ ]*\]| [A-Z]+)?)( .*|$)/\1/p' | sort
}

# Roff source of one line as the text it stands for.
plain_text() {
    sed -e 's/\\f[RBIP]//g' -e 's/\\-/-/g' -e "s/\\\\(aq/'/g" -e 's/\\(dq/"/g' -e 's/\\&//g' -e 's/\\e/\\/g'
}

# The same in the command's section of the man page.
options_of_manual() {
    sed -n "/^\.SS mxfp4q $1\$/,/^\.S[SH] /p" "$MAN1" | grep -A 1 --no-group-separator '^\.TP' | plain_text | grep -E '^-' | sort
}

# From the message that names them all.
profiles() {
    "$MXFP4Q" quantize x -o y --profile no-such-profile 2>&1 | sed 's/.*is not one of: //' | tr -d ' ' | tr ',' '\n'
}

@test "each command has a section in the manual that lists its options as --help does" {
    local command ncommands=0
    for command in $(commands); do
        ncommands=$((ncommands + 1))
        run -0 options_of_help "$command"
        [ "${#lines[@]}" -ge 2 ]
        diff <(options_of_help "$command") <(options_of_manual "$command")
    done
    [ "$ncommands" -ge 3 ]
}

@test "the manual has no section for a command that does not exist" {
    diff <(sed -n 's/^\.SS mxfp4q //p' "$MAN1" | sort) <(commands | sort)
}

@test "a default that --help names is in the manual" {
    local command option default
    for command in $(commands); do
        while IFS=$'\t' read -r option default; do
            echo "$command $option [$default]"
            # The words differ; a value does not.
            case $default in
            *' '*) default='[' ;;
            *) default="[$default]" ;;
            esac
            sed -n "/^\.SS mxfp4q $command\$/,/^\.S[SH] /p" "$MAN1" | plain_text |
                awk -v option="$option" '/^\.TP/ { here = 0 } $0 ~ "(^|, )" option "( |\\[|$)" { here = 1 } here' |
                grep -qF -- "$default"
        done < <("$MXFP4Q" "$command" --help | sed -n -E 's/^ +(-[a-z], )?(--[a-z-]+).*\[([^=].*)\]$/\2\t\3/p')
    done
}

@test "completion for bash has every command, option and profile" {
    local command word
    for command in $(commands); do
        grep -qw -- "$command" "$BASH_COMPLETION_FILE"
        for word in $(options_of_help "$command" | grep -oE -- '--[a-z-]+'); do
            echo "$command $word"
            grep -qE -- "(^|[^a-z-])$word([^a-z-]|\$)" "$BASH_COMPLETION_FILE"
        done
    done
    for word in $(profiles); do
        echo "$word"
        grep -qE -- "(^|[^a-z-])$word([^a-z-]|\$)" "$BASH_COMPLETION_FILE"
    done
}

@test "completion for zsh has every command, option and profile" {
    local command word
    for command in $(commands); do
        grep -q -- "'$command:" "$ZSH_COMPLETION_FILE"
        for word in $(options_of_help "$command" | grep -oE -- '--[a-z-]+'); do
            echo "$command $word"
            grep -qE -- "(^|[^a-z-])$word([^a-z-]|\$)" "$ZSH_COMPLETION_FILE"
        done
    done
    for word in $(profiles); do
        echo "$word"
        grep -qE -- "(^|[^a-z-])$word([^a-z-]|\$)" "$ZSH_COMPLETION_FILE"
    done
}

@test "completions have no option that the program does not have" {
    local command file word known
    known=$(
        echo --version
        for command in $(commands); do options_of_help "$command"; done | grep -oE -- '--[a-z-]+'
    )
    for file in "$BASH_COMPLETION_FILE" "$ZSH_COMPLETION_FILE"; do
        while read -r word; do
            echo "$file: $word"
            grep -qxF -- "$word" <<<"$known"
        done < <(grep -v '^ *#' "$file" | grep -oE -- '(^|[^a-z-])--[a-z-]+' | grep -oE -- '--[a-z-]+$' | sort -u)
    done
}

# Completes the command line in $@ and prints what is offered.
complete_in_bash() {
    bash -c '
        source "$1"; shift
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
        _mxfp4q
        printf "%s\n" "${COMPREPLY[@]}"' bash "$BASH_COMPLETION_FILE" "$@"
}

@test "bash completes commands, options, words and lists" {
    run -0 complete_in_bash mxfp4q qu
    [ "$output" = quantize ]
    run -0 complete_in_bash mxfp4q quantize --prof
    [ "$output" = --profile ]
    run -0 complete_in_bash mxfp4q quantize --profile te-
    [ "$output" = $'te-hip\nte-triton' ]
    run -0 complete_in_bash mxfp4q quantize --ties = a
    [ "$output" = away ]
    run -0 complete_in_bash mxfp4q quantize --shuffle rowwise_data,r
    [ "$output" = rowwise_data,rowwise_scale ]
    run -0 complete_in_bash mxfp4q profiles gg
    [ "$output" = ggml ]
    run -0 complete_in_bash mxfp4q devices --j
    [ "$output" = --json ]
}

@test "bash completes names of files, with spaces too" {
    cd "$BATS_TEST_TMPDIR"
    : >'a file.npy'
    run -0 complete_in_bash mxfp4q info a
    [ "$output" = 'a file.npy' ]
    run -0 complete_in_bash mxfp4q quantize -o a
    [ "$output" = 'a file.npy' ]
}

@test "completion for zsh is valid zsh" {
    command -v zsh >/dev/null || skip "zsh is not installed"
    run -0 zsh -n "$ZSH_COMPLETION_FILE"
}

@test "--help and both man pages name the profiles of the program, in its order" {
    local wanted
    wanted=$(profiles)
    [ "$(wc -l <<<"$wanted")" -ge 15 ]
    echo "in --help"
    diff <(echo "$wanted") <("$MXFP4Q" quantize --help | sed -n '/^Profiles:/,$p' | sed -e 's/^Profiles://' -e 's/\. See .*//' |
        tr -s ' ' '\n' | sed '/^$/d')
    echo "in mxfp4q.1"
    diff <(echo "$wanted") <(plain_text <"$MAN1" | sed -n '/^--profile /,/^\.TP/p' | sed -n '/made:/,/^The options/p' |
        sed -n -E 's/^\.BR? ([a-z-]+).*/\1/p' | grep -v '^--')
    echo "in the first table of mxfp4q.5"
    diff <(echo "$wanted") <(plain_text <"$MAN5" | sed -n '/^profile|scale/,/^\.TE/s/^\([a-z-]*\)|.*/\1/p' | sed 1d)
    echo "in the list of sources of mxfp4q.5"
    diff <(echo "$wanted") <(plain_text <"$MAN5" | sed -n '/^\.SH PROFILES/,/^\.SH LAYOUTS/p' | grep -A 1 --no-group-separator '^\.TP' |
        grep -E '^\.BR? ' | sed -E 's/^\.BR? //; s/" , "/ /g; s/ ", " / /g' | tr ' ' '\n')
}

# The values of the given keys of a recipe, from a manifest, with | between them.
recipe_of() {
    local manifest=$1 key row=
    shift
    for key in "$@"; do
        row+="|$(sed -n -E "s/^ *\"$key\": \"?([a-z0-9-]+)\"?,?\$/\1/p" "$manifest" | head -n 1)"
    done
    echo "${row#|}" | sed -e 's/true/yes/g' -e 's/false/no/g'
}

@test "the tables of profiles in mxfp4q.5 are what manifests say" {
    local profile
    cd "$BATS_TEST_TMPDIR"
    head -c 64 /dev/zero >zeros
    for profile in $(profiles); do
        "$MXFP4Q" quantize zeros --shape 1x32 --dtype bf16 -o "$profile" --profile "$profile" --no-fsync -q
        recipe_of "$profile.json" profile scale ties sign zero_byte pad_fill >>first
        recipe_of "$profile.json" profile underflow sixth huge_byte infinity_byte nan_poisons nan_fills nan_code nan_keeps_sign >>second
    done
    diff first <(plain_text <"$MAN5" | sed -n '/^profile|scale/,/^\.TE/p' | grep -E '^[a-z-]+\|' | sed 1d)
    diff second <(plain_text <"$MAN5" | sed -n '/^profile|underfl/,/^\.TE/p' | grep -E '^[a-z-]+\|' | sed 1d)
}

@test "every key of a manifest is in mxfp4q.5" {
    local key
    cd "$BATS_TEST_TMPDIR"
    "$MXFP4Q" quantize "$TESTDATA/minilm_l6_attn_query.bf16.npy" -o w --no-fsync
    for key in $(grep -oE '"[a-z0-9_]+":' w.json | tr -d '":' | sort -u); do
        echo "$key"
        plain_text <"$MAN5" | grep -qw -- "$key"
    done
}

# Writes the examples of a man page into files example.01 ...: from a line "$ " to the next one, or to .EE.
extract_examples() {
    plain_text <"$1" | awk -v prefix="$2" '
        /^\.EX/ { inside = 1; next }
        /^\.EE/ { inside = 0; file = ""; next }
        inside && /^\$ / { file = sprintf("%s.%02d", prefix, ++n); print substr($0, 3) > file; next }
        inside && file != "" { print > file }'
}

# Runs the examples of a man page one after another, in a folder where w.npy is the matrix they speak of.
run_examples() {
    local example number=0
    mkdir "$BATS_TEST_TMPDIR/bin" "$BATS_TEST_TMPDIR/run"
    ln -s "$(realpath "$MXFP4Q")" "$BATS_TEST_TMPDIR/bin/mxfp4q"
    PATH=$BATS_TEST_TMPDIR/bin:$PATH
    extract_examples "$1" "$BATS_TEST_TMPDIR/example"
    cd "$BATS_TEST_TMPDIR/run" || return
    cp "$TESTDATA/minilm_l6_attn_query.bf16.npy" w.npy
    for example in "$BATS_TEST_TMPDIR"/example.*; do
        number=$((number + 1))
        if grep -q '^python3' "$example" && ! python3 -c 'import numpy' 2>/dev/null; then
            continue
        fi
        echo "--- $(cat "$example")"
        bash -e -o pipefail "$example" || return
    done
    echo "$number examples"
    [ "$number" -ge "$2" ]
}

@test "the examples in mxfp4q.1 work" {
    run_examples "$MAN1" 12
}

@test "the examples in mxfp4q.5 work" {
    run_examples "$MAN5" 3
}

@test "examples that read results with NumPy are tested" {
    python3 -c 'import numpy' 2>/dev/null || skip "NumPy is not installed: these examples were left out"
}

@test "groff formats both pages without a warning, within 80 columns" {
    local page
    command -v groff >/dev/null || skip "groff is not installed"
    for page in "$MAN1" "$MAN5"; do
        run -0 --separate-stderr groff -t -man -Tutf8 -P-cbou -rLL=78n -ww "$page"
        # shellcheck disable=SC2154 # run sets it
        echo "$page: $stderr" | head -n 20
        [ -z "$stderr" ]
        run -1 env LC_ALL=C.UTF-8 grep -E '.{81}' <<<"$output"
    done
}

@test "the man pages have the version of the program" {
    local version page
    version=$("$MXFP4Q" --version)
    for page in "$MAN1" "$MAN5"; do
        grep -q "^\.TH .*\"$version\"" "$page"
    done
}

@test "the session in the README is what the program prints" {
    cd "$BATS_TEST_TMPDIR"
    cp "$TESTDATA/minilm_l6_attn_query.bf16.npy" w.npy
    {
        "$MXFP4Q" quantize w.npy -o w4 --report
        "$MXFP4Q" info w4
    } >printed
    [ -s printed ]
    sed -n '/^    \$ mxfp4q quantize/,/^    \$ python3/s/^    //p' "$ROOT/README.md" | grep -v '^\$' >promised
    # The kernel is that of the machine.
    sed -i 's/kernel [a-z0-9]*$/kernel/' promised printed
    diff promised printed
}
