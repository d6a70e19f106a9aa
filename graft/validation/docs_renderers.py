"""Renderers of the Data Docs that keep the user's text separate from Great Expectations' own markup.

Great Expectations puts most of its findings into its pages unescaped, so a class called `<img src=x onerror=...>` would
run. Here everything from the data or from expectations.yaml reaches it with stand-ins for the special characters of
HTML; `unmarked` replaces them by entities when the page is complete. Only Great Expectations imports this module, by
the names in `graft.validation.great_expectations.new_context`.
"""

from typing import Any

from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    expectationSuiteValidationResultSchema,
)
from great_expectations.render import RenderedDocumentContent
from great_expectations.render.renderer import ExpectationSuitePageRenderer, ValidationResultsPageRenderer

from graft.validation.docs_pages import marked


class MarkedSuite(ExpectationSuitePageRenderer):
    def render(self, expectations: ExpectationSuite) -> RenderedDocumentContent:
        return super().render(ExpectationSuite(**marked(expectations.to_json_dict())))


class MarkedResults(ValidationResultsPageRenderer):
    def render(self, validation_results: ExpectationSuiteValidationResult, suite_parameters: Any = None) -> Any:
        content = marked(validation_results.to_json_dict())
        return super().render(expectationSuiteValidationResultSchema.load(content), suite_parameters)
