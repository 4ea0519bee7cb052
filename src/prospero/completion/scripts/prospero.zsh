#compdef prospero
# Completion of prospero, `python train.py` and its like for zsh: eval "$(prospero completion zsh)", after compinit.
# The words are handed over as they were typed; nothing in them is expanded or run.

_prospero() {
    local -a program goes goes_shown ends ends_shown
    local line word shown
    program=("${${(Q)words[1]}/#\~\//$HOME/}")
    [[ ${program[1]:t} == python* ]] && program+=(-m prospero)
    for line in "${(@f)$("${program[@]}" completion answer zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)}"; do
        word=${line[2,-1]%%$'\t'*} shown=${line#*$'\t'}
        case $line in
            value) compset -P 1 '*=' ;;
            list) compset -P '*[,\[]' ;;
            +*) goes+=("$word") goes_shown+=("$shown") ;;
            -*) ends+=("$word") ends_shown+=("$shown") ;;
        esac
    done
    (( $#ends )) && compadd -V prospero -l -d ends_shown -a ends
    (( $#goes )) && compadd -V prospero -l -S '' -d goes_shown -a goes
    (( $#ends + $#goes ))
}

# Python's own completion stays for every other script.
_prospero_python() {
    if [[ "${(j: :)words[2,CURRENT-1]} " =~ '(^| )([^ ]*/)?(@PROGRAMS@)\.py |(^| )-m +prospero ' ]]; then
        _prospero
    else
        ${_prospero_before_python:-_default} "$@"
    fi
}

if [[ ${funcstack[1]} == _prospero ]]; then
    _prospero "$@"
else
    [[ ${_comps[python]:-} != _prospero_python ]] && typeset -g _prospero_before_python=${_comps[python]:-}
    compdef _prospero prospero
    compdef _prospero_python python python3
fi
