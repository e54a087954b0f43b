// SPDX-License-Identifier: Apache-2.0
#include "cli/completion.h"

#include "tessera/error.h"

#include <algorithm>
#include <ostream>
#include <set>

namespace tessera::cli
{
namespace po = boost::program_options;
namespace
{

// The scripts only carry words to `tessera completion candidates` and back, so that a shell offers
// what the program that it calls would take. Lines are "word<tab>explanation"; ":files" asks for
// names of files.
constexpr const char* kBash = R"(# bash completion of tessera
_tessera()
{
    local words=() word joined= kept=
    # Readline splits at = and :, which belong to our words.
    for word in "${COMP_WORDS[@]:1:COMP_CWORD}"; do
        if [[ $word == [=:] && ${#words[@]} -gt 0 ]]; then
            words[-1]+=$word
            joined=1
        elif [[ $joined ]]; then
            words[-1]+=$word
            joined=
        else
            words+=("$word")
        fi
    done
    local current=${words[-1]}
    # It replaces only what follows the last of them.
    [[ $COMP_WORDBREAKS == *=* && $current == *[=:]* ]] && kept=${current%"${current##*[=:]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        if [[ $word == :files ]]; then
            compopt -o filenames 2>/dev/null
            while IFS= read -r word; do
                COMPREPLY+=("$word")
            done < <(compgen -f -- "${current#"$kept"}")
        else
            COMPREPLY+=("${word#"$kept"}")
        fi
    done < <("${COMP_WORDS[0]/#\~/$HOME}" completion candidates "${words[@]}" 2>/dev/null)
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _tessera tessera
)";

constexpr const char* kZsh = R"(#compdef tessera
# zsh completion of tessera
_tessera()
{
    local line files=
    local -a whole open
    for line in "${(@f)$("${words[1]/#\~/$HOME}" completion candidates "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) files=1 ;;
            *)
                local word=${line%%$'\t'*} explanation=${line#*$'\t'}
                if [[ $word == *= ]]; then
                    open+=("${word//:/\\:}:$explanation")
                else
                    whole+=("${word//:/\\:}:$explanation")
                fi
                ;;
        esac
    done
    (( ${#whole} )) && _describe -t words tessera whole
    (( ${#open} )) && _describe -t settings tessera open -S ''
    if [[ -n $files ]]; then
        compset -P '--*='
        _files
    fi
}
if [[ $funcstack[1] == _tessera ]]; then
    _tessera "$@"
else
    compdef _tessera tessera
fi
)";

constexpr const char* kFish = R"(# fish completion of tessera
function __tessera_candidates
    set -l words (commandline -opc)
    set -l program $words[1]
    set -e words[1]
    set -l current (commandline -ct)
    for line in ($program completion candidates $words "$current" 2>/dev/null)
        if test "$line" = ':files'
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c tessera -f -a '(__tessera_candidates)'
)";

constexpr const char* kCandidates = "candidates";

bool begins_with(const std::string& text, const std::string& beginning)
{
    return text.compare(0, beginning.size(), beginning) == 0;
}

/// Option of "--name" or "-n"; null when there is none, or more than one that so begins.
const po::option_description* find_option(const Options& options, const std::string& word)
{
    try
    {
        return options.table().find_nothrow(begins_with(word, "--") ? word.substr(2) : word, true);
    }
    catch (const po::error&)
    {
        return nullptr;
    }
}

bool takes_value(const po::option_description& option)
{
    return option.semantic()->max_tokens() != 0;
}

/// Where the last word stands in a command line.
struct Position
{
    const po::option_description* option = nullptr; ///< it is this option's value
    unsigned arguments = 0;                         ///< so many without a name come before it
    bool only_arguments = false;                    ///< "--" comes before it
    std::set<const po::option_description*> given;
};

Position locate(const Options& options, const std::vector<std::string>& words)
{
    Position position;
    for (std::size_t i = 1; i + 1 < words.size(); ++i)
    {
        const std::string& word = words[i];
        if (position.option != nullptr)
        {
            position.option = nullptr;
        }
        else if (position.only_arguments || word.size() < 2 || word[0] != '-')
        {
            ++position.arguments;
        }
        else if (word == "--")
        {
            position.only_arguments = true;
        }
        else
        {
            const bool is_long = word[1] == '-';
            const std::size_t end = is_long ? word.find('=') : 2;
            const auto* const option = find_option(options, word.substr(0, end));
            position.given.insert(option);
            if (option != nullptr && takes_value(*option) && end >= word.size())
            {
                position.option = option;
            }
        }
    }
    return position;
}

void offer_values(Candidates& candidates, const Offer* offer, const std::string& before,
                  const std::string& begun)
{
    if (offer == nullptr)
    {
        return;
    }
    std::vector<std::string> words = offer->words;
    if (offer->lookup != nullptr)
    {
        const std::vector<std::string> more = offer->lookup();
        words.insert(words.end(), more.begin(), more.end());
    }
    for (const std::string& word : words)
    {
        if (begins_with(word, begun))
        {
            candidates.words.push_back({before + word, ""});
        }
    }
    candidates.files = offer->files;
}

void offer_options(Candidates& candidates, const Options& options, const Position& position,
                   const std::string& begun)
{
    for (const auto& option : options.table().options())
    {
        const std::string word = "--" + option->long_name();
        const bool again =
            option->semantic()->is_composing() || position.given.count(option.get()) == 0;
        if (again && begins_with(word, begun))
        {
            candidates.words.push_back({word, option->description()});
        }
    }
}

void print(std::ostream& out, const Candidates& candidates)
{
    for (const Candidate& candidate : candidates.words)
    {
        std::string explanation = candidate.explanation;
        std::replace(explanation.begin(), explanation.end(), '\n', ' ');
        out << candidate.word << '\t' << explanation << '\n';
    }
    if (candidates.files)
    {
        out << ":files\n";
    }
}

} // namespace

Candidates complete(const std::vector<std::string>& words)
{
    Candidates candidates;
    const std::string last = words.empty() ? "" : words.back();
    if (words.size() < 2)
    {
        for (const Command& command : commands())
        {
            if (begins_with(command.name, last))
            {
                candidates.words.push_back({command.name, command.summary});
            }
        }
        for (const char* const option : {"--help", "--version"})
        {
            if (!last.empty() && begins_with(option, last))
            {
                candidates.words.push_back({option, ""});
            }
        }
        return candidates;
    }
    const auto command =
        std::find_if(commands().begin(), commands().end(),
                     [&](const Command& entry) { return words.front() == entry.name; });
    if (command == commands().end())
    {
        return candidates;
    }
    const Options options = command->options();
    const Position position = locate(options, words);
    const std::size_t equals = last.find('=');
    if (position.option != nullptr)
    {
        offer_values(candidates, options.offered(position.option->long_name()), "", last);
    }
    else if (!position.only_arguments && begins_with(last, "--") && equals != std::string::npos)
    {
        const auto* const option = find_option(options, last.substr(0, equals));
        if (option != nullptr && takes_value(*option))
        {
            offer_values(candidates, options.offered(option->long_name()),
                         last.substr(0, equals + 1), last.substr(equals + 1));
        }
    }
    else
    {
        const std::string argument = options.positional_at(position.arguments);
        const bool none_left = last.empty() && argument.empty();
        if (!position.only_arguments && (begins_with(last, "-") || none_left))
        {
            offer_options(candidates, options, position, last);
        }
        else
        {
            offer_values(candidates, options.offered(argument), "", last);
        }
    }
    return candidates;
}

Options completion_options()
{
    Options options("completion bash|zsh|fish",
                    "Prints the completion of the command line for a shell:\n"
                    "  bash  source <(tessera completion bash)\n"
                    "  zsh   source <(tessera completion zsh)      after compinit\n"
                    "  fish  tessera completion fish | source\n"
                    "An installed package has them in place.");
    options.positional("shell");
    options.offer("shell", {{"bash", "zsh", "fish"}});
    return options;
}

int completion(const Arguments& arguments, const Streams& streams)
{
    // The words to complete are no options of this command.
    if (!arguments.empty() && arguments.front() == kCandidates)
    {
        print(streams.out, complete({arguments.begin() + 1, arguments.end()}));
        return 0;
    }
    Options options = completion_options();
    if (!options.parse(arguments, streams.out))
    {
        return 0;
    }
    options.require("shell");
    const std::string shell = options.list("shell").front();
    if (shell == "bash")
    {
        streams.out << kBash;
    }
    else if (shell == "zsh")
    {
        streams.out << kZsh;
    }
    else if (shell == "fish")
    {
        streams.out << kFish;
    }
    else
    {
        throw UsageError("unknown shell '" + shell + "'; give bash, zsh or fish");
    }
    return 0;
}

} // namespace tessera::cli
