# Completion of prospero, `python train.py` and its like for fish: prospero completion fish | source
# The words are handed over as they were typed; nothing in them is expanded or run.

function __prospero_answer
    set -l tokens (commandline -opc)
    set -l program (string replace -r '^~/' "$HOME/" -- $tokens[1])
    if string match -q -r '(^|/)python[^/]*$' -- $program
        set -a program -m prospero
    end
    $program completion answer fish (commandline -cp | string collect) 2>/dev/null
end

function __prospero_is_ours
    string match -q -r '(^| )([^ ]*/)?(@PROGRAMS@)\.py |(^| )-m +prospero ' -- (commandline -cp | string collect)
end

complete -c prospero -f -k -a '(__prospero_answer)'
for program in python python3
    complete -c $program -f -k -n __prospero_is_ours -a '(__prospero_answer)'
end
