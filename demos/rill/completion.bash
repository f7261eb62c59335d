# SPDX-License-Identifier: MIT
# Bash completion of rill: commands, a command's options as its help tells them, files.
_rill() {
    local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]}
    if [ "$COMP_CWORD" = 1 ] || { [ "$command" = help ] && [ "$COMP_CWORD" = 2 ]; }; then
        mapfile -t COMPREPLY < <(compgen -W "$(rill --help | sed -n 's/^  \([a-z]*\)  .*/\1/p') help" -- "$word")
    elif [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(rill help "$command" 2>/dev/null | grep -oE -- '^ .* --[a-z-]+' |
            grep -oE -- '--[a-z-]+')" -- "$word")
    else
        compopt -o default
        COMPREPLY=()
    fi
}
complete -F _rill rill
