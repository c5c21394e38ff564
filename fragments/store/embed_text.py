"""A text file as a C string.

    embed_text.py TEXT HEADER NAME OUTPUT
"""

import sys


def main(text, header, name, output):
    with open(text, encoding="ascii") as file:
        lines = file.read().splitlines()
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"').replace("?", "\\?") for line in lines)
    with open(output, "w", encoding="ascii") as file:
        file.write(f'#include "{header}"\n\nconst char {name}[] =\n')
        file.writelines(f'    "{line}\\n"\n' for line in escaped)
        file.write("    ;\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
