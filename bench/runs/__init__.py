"""From a protocol to records: plan, dispatch, execute."""
