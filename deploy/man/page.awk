# page.awk - a manual page from the text that --help prints.
# Variables: name (of the page), version, what (the line behind the name), about (more than that).

function roff(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    if (text ~ /^[.']/) text = "\\&" text
    return text
}

function lower(text) {
    # A name like "JSON" stays.
    return text ~ /^[A-Z][a-z ]/ ? tolower(substr(text, 1, 1)) substr(text, 2) : text
}

function flush_option() {
    if (option == "") return
    print ".TP"
    print ".B " roff(option)
    print help
    option = help = ""
}

BEGIN {
    print ".\\\" Made from --help by deploy/man/make-pages.sh."
    print ".TH " toupper(name) " 1 \"\" \"" version "\" \"weft manual\""
    print ".SH NAME"
    print roff(name) " \\- " roff(lower(what))
    part = "usage"
}

/^Mandatory or optional arguments|^for any corresponding short/ { next }

part == "usage" {
    sub(/^Usage: /, "")
    print ".SH SYNOPSIS"
    words = $1 " " ($2 ~ /^\[|^[A-Z]/ ? "" : $2)
    sub(/ $/, "", words)
    rest = substr($0, length(words) + 2)
    print ".B " roff(words)
    print roff(rest)
    print ".SH DESCRIPTION"
    if (about != "") print roff(about)
    part = "doc"
    next
}

# Options begin with two blanks and a dash, commands (of `weft --help`) with two blanks and a word.
part == "doc" && /^  +-|^ [A-Z].*:$|^  [a-z]+ +[A-Z]/ { part = "list"; print ".SH " ($0 ~ /^  [a-z]/ ? "COMMANDS" : "OPTIONS") }

part == "doc" { if ($0 != "") print roff($0); next }

/^ [A-Z].*:$/ {
    flush_option()
    heading = $0
    gsub(/^ |:$/, "", heading)
    print ".SS " roff(heading)
    next
}

/^  +-/ || /^  [a-z]+ +[A-Z]/ {
    flush_option()
    line = $0
    sub(/^ +/, "", line)
    at = match(line, /  +/)
    if (!at && line !~ /^-/) at = index(line, " ") # a name as wide as its column
    if (at) {
        option = substr(line, 1, at - 1)
        help = substr(line, at)
        sub(/^ +/, "", help)
        help = roff(help)
    } else option = line
    next
}

/^    / && option != "" {
    line = $0
    sub(/^ +/, "", line)
    help = help (help == "" ? "" : "\n") roff(line)
    next
}

$0 != "" { flush_option(); print ".PP"; gsub(/`/, ""); print roff($0) }

END { flush_option() }
