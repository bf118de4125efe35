"""What the product is made of: licences, sizes, known vulnerabilities, and a list of parts in the CycloneDX form."""
