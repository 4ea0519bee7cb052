# Completion of prospero, `python train.py` and its like for bash: eval "$(prospero completion bash)"
# The words are handed over as they were typed; nothing in them is expanded or run.

_prospero() {
    local -a program=("${1/#\~\//$HOME/}")
    [[ ${1##*/} == python* ]] && program+=(-m prospero)
    local line space=""
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $space ]]; then
            space=$line
        else
            COMPREPLY+=("$line")
        fi
    done < <("${program[@]}" completion answer bash "$COMP_TYPE" "$COMP_WORDBREAKS" "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    if type compopt &>/dev/null; then
        [[ $space == nospace ]] && compopt -o nospace
        compopt -o nosort 2>/dev/null
    fi
    return 0
}

# Python's own completion stays for every other script.
_prospero_python() {
    local ours='(^| )([^ ]*/)?(@PROGRAMS@)\.py |(^| )-m +prospero '
    if [[ $COMP_LINE =~ $ours ]]; then
        _prospero "$@"
    elif [[ -n ${_prospero_before_python-} ]]; then
        "$_prospero_before_python" "$@"
    else
        compopt -o bashdefault -o default 2>/dev/null
        COMPREPLY=()
    fi
}

_prospero_before_python=$(complete -p python 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
[[ $_prospero_before_python == _prospero_python ]] && _prospero_before_python=""
complete -F _prospero prospero
complete -F _prospero_python python python3
