#!/usr/bin/env python3
"""Renders docs/demo.svg from a real run: python3 tests/picture.py path/to/agentkeys."""
import html
import re
import subprocess
import sys
from pathlib import Path

COLOURS = {31: "#e06c75", 32: "#98c379", 33: "#e5c07b", 34: "#61afef", 35: "#c678dd", 36: "#56b6c2", 90: "#7f848e"}
COLOURS |= {code + 60: colour for code, colour in list(COLOURS.items()) if code < 90}
WIDTH, LINE, PAD = 8.43, 19, 18


def spans(line):
    """Text pieces of a line with the style each is in."""
    style, pieces = {}, []
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if not part.startswith("\x1b["):
            if part:
                pieces.append((part, dict(style)))
            continue
        for code in (int(c or 0) for c in part[2:-1].split(";")):
            if code == 0:
                style = {}
            elif code == 1:
                style["font-weight"] = "bold"
            elif code == 2:
                style["opacity"] = "0.65"
            elif code == 39:
                style.pop("fill", None)
            elif code in (22,):
                style.pop("font-weight", None)
                style.pop("opacity", None)
            elif code in COLOURS:
                style["fill"] = COLOURS[code]
    return pieces


def main():
    program = sys.argv[1]
    command = [program, "demo", "cross-rail", "--color", "always"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = ["$ agentkeys demo cross-rail", *run.stdout.rstrip().split("\n")]
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    width = max(len(line) for line in plain) * WIDTH + 2 * PAD
    height = len(lines) * LINE + 2 * PAD
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}">',
        '<rect width="100%" height="100%" rx="10" fill="#1e2127"/>',
        '<g font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="14" fill="#d7dae0" xml:space="preserve">',
    ]
    for number, line in enumerate(lines):
        y = PAD + 14 + number * LINE
        pieces = "".join(
            "<tspan{}>{}</tspan>".format("".join(f' {k}="{v}"' for k, v in style.items()), html.escape(text).replace(" ", "&#160;"))
            for text, style in spans(line)
        )
        out.append(f'<text x="{PAD}" y="{y}">{pieces}</text>')
    out += ["</g>", "</svg>", ""]
    Path(__file__).resolve().parent.parent.joinpath("docs/demo.svg").write_text("\n".join(out))


main()
