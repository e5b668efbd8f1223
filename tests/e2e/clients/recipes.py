"""Takes the recipes out of a document: `<!-- recipe: NAME -->`, then a block of code.

    recipes.py DOCUMENT DIRECTORY

Writes each into a file `recipe_NAME`, and prints the names.
"""

import pathlib
import re
import sys

RECIPE = re.compile(r"^<!-- recipe: ([\w.]+) -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

for name, code in RECIPE.findall(pathlib.Path(sys.argv[1]).read_text()):
    (pathlib.Path(sys.argv[2]) / f"recipe_{name}").write_text(code)
    print(name)
