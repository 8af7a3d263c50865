# Writes OUT, a C file with the status page: HTML with the texts of CSS and JS in the places of
# @STYLE@ and @SCRIPT@.  As numbers: no escapes, no limit on a literal's length.
file(READ "${HTML}" page)
file(READ "${CSS}" style)
file(READ "${JS}" script)
string(REPLACE "@STYLE@" "${style}" page "${page}")
string(REPLACE "@SCRIPT@" "${script}" page "${page}")
file(WRITE "${OUT}.html" "${page}")
file(READ "${OUT}.html" bytes HEX)
string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE "${OUT}" "#include \"ps/status_page.h\"\n\nconst char status_page_html[] = {\n${bytes}\n0};\n")
