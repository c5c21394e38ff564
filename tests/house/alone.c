/* The program around a library that is linked whole, without the libraries it must not see. */
int main(void) {
    return 0;
}
