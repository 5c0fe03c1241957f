"""`pullprobe schedule` as an operator runs it, against moto behind a recording proxy."""

import pytest

from pullprobe_testing.schedule_account import ScheduleAccount


@pytest.fixture
def account(moto):
    account = ScheduleAccount(moto)
    yield account
    account.proxy.close()
    assert account.proxy.schema_violations == []
