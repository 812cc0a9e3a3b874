from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qupath_her2.errors import SettingsError
from qupath_her2.server.settings import ServiceSettings


def test_a_network_is_used_with_encryption_or_with_the_risk_accepted(tmp_path: Path) -> None:
    here = ServiceSettings(tmp_path)
    here.check()
    everywhere = replace(here, host="0.0.0.0")
    with pytest.raises(SettingsError, match="--accept-plain-http"):
        everywhere.check()
    replace(everywhere, accepts_plain_http=True).check()
    secure = replace(everywhere, tls_certificate=tmp_path / "c.pem", tls_key=tmp_path / "k.pem")
    secure.check()
    assert secure.scheme == "https"
    with pytest.raises(SettingsError, match="--tls-key"):
        replace(here, tls_certificate=tmp_path / "c.pem").check()


def test_folders_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--root"):
        ServiceSettings(tmp_path, roots=(tmp_path / "missing",)).check()
    with pytest.raises(SettingsError, match="--models"):
        ServiceSettings(tmp_path, models=(tmp_path / "missing",)).check()


def test_sizes_have_units(tmp_path: Path) -> None:
    assert ServiceSettings(tmp_path, max_upload_gb=0.5).max_upload_bytes == 500_000_000
