@echo off
rem Sets the time zone: by its name, from Windows' own table.
"%SystemRoot%\System32\tzutil.exe" /s "%DIB_TIMEZONE%"
exit /b %ERRORLEVEL%
