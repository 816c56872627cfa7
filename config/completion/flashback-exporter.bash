# Completion of flashback-exporter for bash: `source` this file in ~/.bashrc, or copy it as flashback-exporter to
# /usr/share/bash-completion/completions/ or ~/.local/share/bash-completion/completions/.

_flashback_exporter() {
    local logs="--log.level --log.format" web="--web.config.file"
    local serving="--web.listen-address --web.telemetry-path --web.enable-lifecycle"
    local words="check demo --config.file --version --help $logs $web $serving"
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} given
    # bash cuts `--flag=value` at the sign.
    if [ "$word" = "=" ]; then
        word=""
    elif [ "$before" = "=" ]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for given in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $given in
            check) words="--live --config.file --help $logs $web" ;;
            demo) words="--help $logs $web $serving" ;;
        esac
    done
    case $before in
        --config.file | --web.config.file) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        --log.level) mapfile -t COMPREPLY < <(compgen -W "debug info warn error" -- "$word") ;;
        --log.format) mapfile -t COMPREPLY < <(compgen -W "logfmt json" -- "$word") ;;
        --web.listen-address | --web.telemetry-path) COMPREPLY=() ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word") ;;
    esac
}

complete -o filenames -o bashdefault -F _flashback_exporter flashback-exporter
