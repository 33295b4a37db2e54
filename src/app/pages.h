// The files below src/app/pages, compiled into the server so that it needs
// nothing beside itself on disk. Written by tools/embed at build time; constant
// and of static lifetime, so any thread may read them.
#pragma once

#include <span>
#include <string_view>

namespace ringcast {

struct Page {
  std::string_view path;          // what a browser asks for: "/chat.js"; "/" for index.html
  std::string_view content_type;  // with its charset
  std::string_view content;
};

// Sorted by the files' names; a handful, so callers may search linearly.
std::span<const Page> embedded_pages();

}  // namespace ringcast
