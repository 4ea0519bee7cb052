"""`completion`: what a shell needs to complete the words of every command, and what it asks at each TAB."""

from prospero.errors import ConfigError, suggest

EXAMPLES = [
    ('eval "$(prospero completion bash)"', "in ~/.bashrc"),
    ('eval "$(prospero completion zsh)"', "in ~/.zshrc, after compinit"),
    ("prospero completion fish | source", "in ~/.config/fish/config.fish"),
]


def completion(words: list[str]) -> int:
    """Print the script of a shell, or (`answer`) what may stand at the cursor; return the exit code."""
    from prospero.completion import shells

    name, *rest = words or [""]
    if name == "answer" and rest and rest[0] in shells.SHELLS and len(rest) == (4 if rest[0] == "bash" else 2):
        print(shells.answer(rest[0], rest[1:]))
        return 0
    if name not in shells.SHELLS or rest:
        said = f"There is no completion for '{' '.join(words)}'.{suggest(name, shells.SHELLS)} " if words else ""
        raise ConfigError(f"{said}Write prospero completion {' | '.join(shells.SHELLS)}; see --help.")
    print(shells.script(name), end="")
    return 0
