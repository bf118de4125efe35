"""The list of parts of the product in the CycloneDX form, as JSON."""

import json
import uuid
from collections.abc import Sequence

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from tests.audit.licences import expression
from tests.audit.parts import Part

VERSION = SchemaVersion.V1_6


def written(parts: Sequence[Part], name: str, version: str) -> str:
    """Return the document; the same parts have the same serial number."""
    known = {part.name: _component(part) for part in parts}
    product = Component(name=name, version=version, type=ComponentType.APPLICATION, bom_ref=name)
    told = json.dumps([(part.name, part.version) for part in parts])
    bom = Bom(components=known.values(), serial_number=uuid.uuid5(uuid.NAMESPACE_URL, told))
    bom.metadata.component = product
    bom.register_dependency(product, known.values())
    for part in parts:
        bom.register_dependency(known[part.name], [known[need] for need in part.needs if need in known])
    return str(make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=2))


def flaw(document: str) -> str:
    """Return what is wrong with a document by the schema; empty if nothing is."""
    found = JsonStrictValidator(VERSION).validate_str(document)
    return "" if found is None else str(found)


def _component(part: Part) -> Component:
    said = expression(part)
    return Component(
        name=part.name,
        version=part.version,
        type=ComponentType.LIBRARY,
        bom_ref=f"{part.name}@{part.version}",
        purl=PackageURL("pypi", None, part.name, part.version),
        licenses=[LicenseFactory().make_from_string(said)] if said else [],
    )
