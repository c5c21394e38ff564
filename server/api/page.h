/* Inner: the files of the page, as the build puts them into the program. */
#ifndef SERVER_API_PAGE_H
#define SERVER_API_PAGE_H

extern const char srv_page_html[];
extern const char srv_page_css[];
extern const char srv_page_js[];
extern const char srv_page_svg[];

#endif
