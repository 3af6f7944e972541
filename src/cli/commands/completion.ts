/** `act-drizzle completion`: a script by which a shell completes words with the Tab key. It is made from the commands. */
import { Argument, type Command } from "commander";
import { Output } from "../output.ts";
import { globalOptions } from "../session.ts";

const SHELLS = ["bash", "zsh", "fish"] as const;
type Shell = (typeof SHELLS)[number];

type Word = { readonly name: string; readonly summary: string };
type CommandWords = Word & {
  readonly options: readonly Word[];
  /** The values that its argument may have. */
  readonly choices: readonly string[];
};

/** The text without characters that a shell would interpret. */
const plain = (text: string): string => text.replaceAll(/['"`\\$[\]:]/g, "");

function wordsOf(program: Command): CommandWords[] {
  return program.commands.flatMap((command) => {
    const options = command.options
      .filter(({ hidden, long }) => !hidden && long)
      .map(({ long, description }) => ({ name: long ?? "", summary: plain(description) }));
    const choices = command.registeredArguments.flatMap(({ argChoices }) => argChoices ?? []);
    return [command.name(), ...command.aliases()].map((name) => ({
      name,
      summary: plain(command.summary()),
      options: [...options, { name: "--help", summary: "what the command does" }],
      choices,
    }));
  });
}

const names = (words: readonly Word[]): string => words.map(({ name }) => name).join(" ");

/** The command is the first word that names one. If no word fits, the shell offers files. */
const bash = (commands: readonly CommandWords[]): string => `_act_drizzle() {
  local current="\${COMP_WORDS[COMP_CWORD]}" command="" word
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in
${commands.map(({ name }) => `      ${name}) command=${name}; break ;;`).join("\n")}
    esac
  done
  case "$command" in
    "") COMPREPLY=($(compgen -W "${names(commands)} --help" -- "$current")) ;;
${commands
  .map(
    ({ name, options, choices }) =>
      `    ${name}) COMPREPLY=($(compgen -W "${[names(options), ...choices].join(" ")}" -- "$current")) ;;`,
  )
  .join("\n")}
  esac
}
complete -o default -F _act_drizzle act-drizzle
`;

const zsh = (commands: readonly CommandWords[]): string => `#compdef act-drizzle
_act_drizzle() {
  local -a commands=(
${commands.map(({ name, summary }) => `    '${name}:${summary}'`).join("\n")}
  )
  local -a options
  local word
  for word in \${words[2,CURRENT-1]}; do
    case $word in
${commands
  .map(
    ({ name, options, choices }) =>
      `      ${name})
        options=(${[...options.map((option) => `'${option.name}:${option.summary}'`), ...choices.map((choice) => `'${choice}'`)].join(" ")})
        _describe 'option' options || _files
        return ;;`,
  )
  .join("\n")}
    esac
  done
  _describe 'command' commands
}
if [ "$funcstack[1]" = "_act_drizzle" ]; then _act_drizzle "$@"; else compdef _act_drizzle act-drizzle; fi
`;

const fish = (commands: readonly CommandWords[]): string => {
  const all = names(commands);
  const lines = commands.flatMap(({ name, summary, options, choices }) => [
    `complete -c act-drizzle -n "not __fish_seen_subcommand_from ${all}" -f -a ${name} -d '${summary}'`,
    ...options.map(
      (option) =>
        `complete -c act-drizzle -n "__fish_seen_subcommand_from ${name}" -l ${option.name.slice(2)} -d '${option.summary}'`,
    ),
    ...choices.map(
      (choice) => `complete -c act-drizzle -n "__fish_seen_subcommand_from ${name}" -f -a ${choice}`,
    ),
  ]);
  return `${lines.join("\n")}\n`;
};

const SCRIPTS: Readonly<Record<Shell, (commands: readonly CommandWords[]) => string>> = { bash, zsh, fish };

export function completion(program: Command): void {
  program
    .command("completion")
    .addArgument(new Argument("<shell>", "which one").choices(SHELLS))
    .summary("prints a completion script for bash, zsh or fish")
    .description("Prints a script by which a shell completes commands and options.")
    .addHelpText(
      "after",
      `
Examples:
  $ source <(act-drizzle completion bash)          in ~/.bashrc
  $ source <(act-drizzle completion zsh)           in ~/.zshrc, after compinit
  $ act-drizzle completion fish > ~/.config/fish/completions/act-drizzle.fish`,
    )
    .action(async (shell: Shell, _: unknown, command: Command) => {
      const output = new Output({ json: globalOptions(command).json ?? false });
      const script = SCRIPTS[shell](wordsOf(program));
      if (output.json) output.document({ shell, script });
      else await output.write(script);
    });
}
