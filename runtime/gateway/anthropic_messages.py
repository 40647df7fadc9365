"""What may be passed on of a request to Anthropic's messages, and to the count of their tokens."""

from typing import Annotated, Any, Literal

from pydantic import Field

from monastery.runtime.gateway.shapes import (
    Base64,
    Dropped,
    Effort,
    Identifier,
    Nothing,
    Probability,
    Schema,
    Shape,
    Tokens,
    ToolName,
)


class Cache(Shape):
    """A mark up to which the provider may keep what it computed."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Text(Shape):
    """A block of text."""

    type: Literal["text"]
    text: str
    cache_control: Cache | None = None
    citations: Nothing = None


class Source(Shape):
    """An image's or a document's bytes."""

    type: Literal["base64"]
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf"]
    data: Base64


class Inline(Shape):
    """An image or a document."""

    type: Literal["image", "document"]
    source: Source
    cache_control: Cache | None = None


class ToolUse(Shape):
    """A tool that the model called."""

    type: Literal["tool_use"]
    id: Identifier
    name: ToolName
    input: dict[str, Any]
    cache_control: Cache | None = None


class ToolResult(Shape):
    """What came of a tool."""

    type: Literal["tool_result"]
    tool_use_id: Identifier
    content: str | list[Annotated[Text | Inline, Field(discriminator="type")]] | None = None
    is_error: bool | None = None
    cache_control: Cache | None = None


class Thinking(Shape):
    """What the model thought, given back to it."""

    type: Literal["thinking"]
    thinking: str
    signature: str


class Redacted(Shape):
    """What the model thought, sealed by its provider."""

    type: Literal["redacted_thinking"]
    data: str


Block = Annotated[
    Text | Inline | ToolUse | ToolResult | Thinking | Redacted, Field(discriminator="type")
]


class Message(Shape):
    """A message of the user or of the model."""

    role: Literal["user", "assistant"]
    content: str | list[Block]


class Tool(Shape):
    """A tool that the agent runs itself."""

    type: Literal["custom"] | None = None
    name: ToolName
    description: str | None = None
    input_schema: Schema
    strict: bool | None = None
    cache_control: Cache | None = None


class Choice(Shape):
    """Whether a tool must be called, and which."""

    type: Literal["auto", "any", "tool", "none"]
    name: ToolName | None = None
    disable_parallel_tool_use: bool | None = None


class Think(Shape):
    """How much the model may think before it answers."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: Tokens | None = None


class Format(Shape):
    """The form of the answer."""

    type: Literal["json_schema"]
    schema_: Annotated[Schema, Field(alias="schema")]


class Output(Shape):
    """How much effort goes into the answer, and its form."""

    effort: Effort | None = None
    format: Format | None = None


class CountTokens(Shape):
    """A request to count the tokens of a request."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    system: str | list[Text] | None = None
    tools: list[Tool] | None = None
    tool_choice: Choice | None = None
    thinking: Think | None = None
    output_config: Output | None = None


class Messages(CountTokens):
    """A request."""

    max_tokens: Tokens
    temperature: Probability | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=0, le=1 << 20)] | None = None
    stop_sequences: Annotated[list[str], Field(max_length=64)] | None = None
    metadata: Dropped = None
    service_tier: Dropped = None


def forced(request: dict[str, Any]) -> dict[str, Any]:
    """Return the request as it leaves."""
    return request
