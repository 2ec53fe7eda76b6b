"""Writes packaging/user-data.sh into user-data.yaml and into the template: `scripts/lib/packaging embed`.

    user-data.sh ─┬─ whole ───────────▶ user-data.yaml
                  └─ below its line ──▶ cloudformation.yaml, `${` escaped for Fn::Sub

Above the line the template has values of its own.
"""

import textwrap

from template import PACKAGING, TEMPLATE

SCRIPT = PACKAGING / "user-data.sh"
CLOUD_CONFIG = PACKAGING / "user-data.yaml"
# Above it are the values, below it is what all forms share.
LINE = "# " + "-" * 114 + "\n"
# After the script, in both.
RUN = "runcmd:\n"


def below(text):
    _, _, shared = text.partition(LINE)
    assert shared, "the line between values and script is missing"
    return shared


def indented(text, by):
    return textwrap.indent(text, " " * by)


def cloud_config(existing, script):
    begin, rest = existing.split("    content: |\n")
    return begin + "    content: |\n" + indented(script, 6) + RUN + rest.split(RUN)[1]


def template(existing, script):
    # Inside the template: 16 for the string, 6 for `content` in it.
    line = indented(LINE, 22)
    run = indented(RUN, 16)
    begin, rest = existing.split(line)
    escaped = below(script).replace("${", "${!")
    return begin + line + indented(escaped, 22) + run + rest.split(run)[1]


if __name__ == "__main__":
    script = SCRIPT.read_text()
    CLOUD_CONFIG.write_text(cloud_config(CLOUD_CONFIG.read_text(), script))
    TEMPLATE.write_text(template(TEMPLATE.read_text(), script))
