"""The Terraform modules are HCL, formatted. tests/modules.rs holds them to `print`."""

import shutil
import subprocess

import hcl2
import pytest

from pullprobe_testing.binaries import ROOT

FILES = sorted((ROOT / "modules").rglob("*.tf"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT / "modules")))
def test_file_is_read(file):
    with file.open() as text:
        assert hcl2.load(text)


def test_modules_have_the_form_of_the_registry():
    modules = {file.parent for file in FILES if file.name == "versions.tf"}

    assert modules
    for module in modules:
        names = {file.name for file in module.iterdir()}
        assert {"README.md", "main.tf", "variables.tf", "outputs.tf"} <= names, module
        # A module inside another is shown in the examples of that.
        assert "examples" in names or module.parent != ROOT / "modules", module


def test_terraform_formats_them_so():
    if not shutil.which("terraform"):
        pytest.skip("terraform is not installed")
    command = ["terraform", "fmt", "-check", "-diff", "-recursive", ROOT / "modules"]
    done = subprocess.run(command, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout
